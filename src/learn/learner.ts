// A model that learns from its users: each has a fast tier and a memory at the head, and a slow tier that takes over what they learned. Users share
// the base and nothing else. Knows no storage and no clock.

import { NotFoundError, OptionError } from '../base/errors.ts'
import type { GenerateEvent, Generation, Head, Model, Prompt, PromptOptions } from '../runtime/index.ts'
import type { EncodedRow } from '../train/data/encode.ts'
import type { TrainableModel } from '../train/options.ts'
import { consolidated, type GateVerdict, judge, type SlowTierOptions, type SlowVersion } from './consolidate.ts'
import { type Breadth, type HeadErrors, headErrors } from './head-error.ts'
import { advantageOf, type LearningSignal, newRecord, type RewardRecord } from './signal.ts'
import { createStudent, type Reading, type Student, type StudentOptions } from './student.ts'

export interface LearnerOptions extends StudentOptions {
  readonly model: Model & TrainableModel
  /** How much of the vocabulary a gradient looks at: 64 unless given. */
  readonly breadth?: Breadth
  readonly slow?: SlowTierOptions
  /** Answers that may still be judged, by user; 32 unless given. */
  readonly keptTurns?: number
  /** Turns kept as rows for the next consolidation, by user; 256 unless given. */
  readonly keptRows?: number
}

/** An example to learn from, or to watch: what was asked, and the answer that was right. */
export interface Example {
  readonly prompt: Prompt
  readonly completion: string
}

export interface LearnedTurn extends Example {
  readonly user: string
}

export type LearnerEvent = GenerateEvent | { readonly type: 'turn-end'; readonly turn: number }

export interface FeedbackResult {
  readonly reward: number
  /** Reward − what this user's answers usually get: the sign says which way was learned. */
  readonly advantage: number
  readonly surprise: number
}

export interface ConsolidateUserOptions {
  /** Must not get worse. */
  readonly canaries?: readonly Example[]
  /** By how large a share canaries may get worse; 0.01 unless given. */
  readonly bound?: number
  /** How much of what was learned must be left, on held-out turns; 0.5 unless given. */
  readonly least?: number
}

export interface Learner {
  /** Answers as this user's model. The last event, 'turn-end', has the number that feedback names. */
  generate(prompt: Prompt, options: PromptOptions & { readonly user: string }): AsyncGenerator<LearnerEvent, void>
  /** Learns from what an answer got. Throws NotFoundError for a turn that is no longer kept, OptionError for a signal out of range. */
  feedback(signal: LearningSignal & { readonly user: string; readonly turn: number }): Promise<FeedbackResult>
  /** Learns a completion that was right; returns the losses from before. */
  learn(turn: LearnedTurn): Promise<Reading>
  /** The loss of a completion as this user's model sees it, in nats a token; nothing is learned. */
  loss(turn: LearnedTurn): Promise<number>
  /** Trains what was learned into the user's slow tier; where the gate keeps it, fast tier and memory are emptied. */
  consolidate(user: string, options?: ConsolidateUserOptions): Promise<GateVerdict>
  /** Versions of the slow tier, the oldest (no adapter) first. */
  versions(user: string): readonly SlowVersion[]
  /** Goes back to a version of the slow tier; fast tier and memory, which stand on another, are emptied. */
  restore(user: string, version: number): void
  /** What is kept of a user, made when first asked for. */
  student(user: string): Student
  forget(user: string): void
}

interface Turn {
  readonly ids: readonly number[]
  readonly promptTokens: number
  readonly hidden: Float32Array
}

interface User {
  readonly student: Student
  readonly record: RewardRecord
  readonly turns: Map<number, Turn>
  readonly rows: EncodedRow[]
  readonly versions: SlowVersion[]
  current: number
  count: number
}

const heldEvery = 8 // of the kept rows every eighth is held out of a consolidation, for its gate

/** A learner over a model. Its head is the model's own; the model may go on serving others beside it. */
export const createLearner = (options: LearnerOptions): Learner => new TieredLearner(options)

type Asked = Pick<Turn, 'ids' | 'promptTokens'>
const adapterOf = ({ versions, current }: User) => versions[current]!.adapter
const mean = (losses: ArrayLike<number>): number => Array.from(losses).reduce((sum, loss) => sum + loss, 0) / losses.length
const rowOf = ({ ids, promptTokens }: Asked): EncodedRow => ({
  ids: Int32Array.from(ids),
  weights: Float32Array.from(ids, (_, t) => (t >= promptTokens ? 1 : 0)),
})
const turnOf = ({ ids, weights }: EncodedRow): Asked => ({ ids: [...ids], promptTokens: weights.findIndex((weight) => weight > 0) })

class TieredLearner implements Learner {
  readonly #options: LearnerOptions
  readonly #head: Head
  readonly #errors: HeadErrors
  /** Knows nothing: the model as it is, with a slow tier at most. */
  readonly #bare: Student
  readonly #users = new Map<string, User>()

  constructor(options: LearnerOptions) {
    this.#options = options
    this.#head = options.model.head()
    this.#errors = headErrors(this.#head, options.breadth)
    this.#bare = createStudent(this.#head, this.#errors, { fast: false, memory: false })
  }

  async *generate(prompt: Prompt, { user: name, ...given }: PromptOptions & { readonly user: string }): AsyncGenerator<LearnerEvent, void> {
    const user = this.#user(name)
    const { model } = this.#options
    const seen: Float32Array[] = []
    const head = async (hidden: Float32Array): Promise<Float32Array> => {
      seen.push(hidden.slice())
      return user.student.next(hidden)
    }
    const asked = model.encode(prompt, given.chat)
    const adapter = adapterOf(user)
    for await (const event of model.generate(asked, { ...given, ...(adapter && { adapter }), head })) {
      yield event
      if (event.type === 'generation-end') yield { type: 'turn-end', turn: this.#keepTurn(user, asked, event, seen) }
    }
  }

  #keepTurn(user: User, asked: readonly number[], { ids, reason }: Generation, seen: readonly Float32Array[]): number {
    const eos = this.#options.model.base.tokenizer?.eosId
    const answer = [...ids, ...(reason === 'eos' && eos !== undefined ? [eos] : [])]
    const turn = user.count++
    user.turns.set(turn, { ids: [...asked, ...answer], promptTokens: asked.length, hidden: this.#flat(seen.slice(0, answer.length)) })
    if (user.turns.size > (this.#options.keptTurns ?? 32)) user.turns.delete(user.turns.keys().next().value!)
    return turn
  }

  async feedback({ user: name, turn: number, ...signal }: LearningSignal & { readonly user: string; readonly turn: number }) {
    const user = this.#user(name)
    const turn = user.turns.get(number)
    if (!turn) throw new NotFoundError(`Turn ${number} of user ${JSON.stringify(name)} is not kept (any more); ${user.turns.size} are.`)
    const { reward, advantage } = advantageOf(user.record, signal)
    user.turns.delete(number) // an answer is judged once
    const tokens = turn.ids.slice(turn.promptTokens)
    if (advantage === 0 || tokens.length === 0) return { reward, advantage, surprise: 0 }
    const lesson = { hidden: turn.hidden, tokens, weights: tokens.map(() => advantage) }
    const { surprise } = await user.student.read(lesson)
    // −advantage·log p of what was said: the same step as for a right answer, longer the surer the verdict and the less sure the model was.
    await user.student.learn({ ...lesson, rate: Math.min(1, Math.abs(advantage)) * (0.5 + surprise) })
    if (advantage > 0) this.#keepRow(user, turn)
    return { reward, advantage, surprise }
  }

  async learn(given: LearnedTurn): Promise<Reading> {
    const user = this.#user(given.user)
    const turn = this.#encoded(given)
    const reading = await user.student.learn(await this.#lesson(turn, adapterOf(user)))
    this.#keepRow(user, turn)
    return reading
  }

  async loss(given: LearnedTurn): Promise<number> {
    const user = this.#user(given.user)
    return this.#lossOver([this.#encoded(given)], user.student, adapterOf(user))
  }

  async consolidate(name: string, { canaries = [], ...bounds }: ConsolidateUserOptions = {}): Promise<GateVerdict> {
    const user = this.#user(name)
    const before = user.versions[user.current]!
    const isHeld = (i: number): boolean => user.rows.length >= heldEvery && i % heldEvery === heldEvery - 1
    const taught = user.rows.filter((_, i) => !isHeld(i))
    const after = await consolidated(this.#options.model, taught, before, this.#options.slow)
    const held = user.rows.filter((_, i) => isHeld(i)).map(turnOf)
    const verdict = judge(
      await this.#canaries(canaries.map((canary) => this.#encoded(canary)), before, after),
      await this.#held(held, user.student, before, after),
      bounds,
    ) // prettier-ignore
    if (verdict.kept) {
      user.current = user.versions.push(after) - 1
      user.rows.length = 0
      this.#empty(user)
    }
    return verdict
  }

  async #canaries(turns: readonly Asked[], before: SlowVersion, after: SlowVersion) {
    if (turns.length === 0) return undefined
    const bare = this.#bare
    return { before: await this.#lossOver(turns, bare, before.adapter), after: await this.#lossOver(turns, bare, after.adapter) }
  }

  async #held(turns: readonly Asked[], student: Student, before: SlowVersion, after: SlowVersion) {
    if (turns.length === 0) return undefined
    return {
      untaught: await this.#lossOver(turns, this.#bare, before.adapter),
      before: await this.#lossOver(turns, student, before.adapter),
      after: await this.#lossOver(turns, this.#bare, after.adapter),
    }
  }

  versions(name: string): readonly SlowVersion[] {
    return this.#user(name).versions
  }

  restore(name: string, version: number): void {
    const user = this.#user(name)
    if (!user.versions[version])
      throw new NotFoundError(`There is no version ${version}; user ${JSON.stringify(name)} has ${user.versions.length}, from 0.`)
    user.current = version
    this.#empty(user)
  }

  student(name: string): Student {
    return this.#user(name).student
  }

  forget(name: string): void {
    this.#users.delete(name)
  }

  #user(name: string): User {
    if (typeof name !== 'string' || name === '') throw new OptionError('A learner wants the name of a user.')
    const known = this.#users.get(name)
    if (known) return known
    const student = createStudent(this.#head, this.#errors, this.#options)
    const versions: SlowVersion[] = [{ adapter: undefined, ewc: undefined }]
    const made: User = { student, record: newRecord(), turns: new Map(), rows: [], versions, current: 0, count: 0 }
    this.#users.set(name, made)
    return made
  }

  /** What stands on hidden states of another slow tier means nothing. */
  #empty({ student, turns }: User): void {
    student.clear()
    turns.clear()
  }

  #keepRow(user: User, turn: Asked): void {
    user.rows.push(rowOf(turn))
    if (user.rows.length > (this.#options.keptRows ?? 256)) user.rows.shift()
  }

  #flat(rows: readonly Float32Array[]): Float32Array {
    const all = new Float32Array(rows.length * this.#head.width)
    rows.forEach((row, t) => all.set(row, t * this.#head.width))
    return all
  }

  #encoded({ prompt, completion }: Example): Asked {
    const { model } = this.#options
    const asked = model.encode(prompt)
    const { tokenizer } = model.base
    if (!tokenizer) throw new NotFoundError(`Model "${model.base.name}" has no tokenizer, so it cannot learn completions.`)
    const answer = [...tokenizer.encode(completion), ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])]
    return { ids: [...asked, ...answer], promptTokens: asked.length }
  }

  async #lesson({ ids, promptTokens }: Asked, adapter: SlowVersion['adapter']) {
    const at = [Array.from({ length: ids.length - promptTokens }, (_, t) => promptTokens + t - 1)]
    const [rows] = await this.#options.model.hidden([ids.slice(0, -1)], { at, ...(adapter && { adapter }) })
    return { hidden: this.#flat(rows!), tokens: ids.slice(promptTokens) }
  }

  /** Mean loss of turns under a student and a slow tier. */
  async #lossOver(turns: readonly Asked[], student: Student, adapter: SlowVersion['adapter']): Promise<number> {
    const losses: number[] = []
    for (const turn of turns) losses.push(mean((await student.read(await this.#lesson(turn, adapter))).losses))
    return mean(losses)
  }
}
