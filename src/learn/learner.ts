// A model that learns from its users: each has a fast tier and a memory at the head, and a slow
// tier that takes over what they learned. Users share the base and nothing else. Here is what a
// caller sees; the parts lie beside it: learner-users.ts (who is in memory, what is saved),
// teaching.ts (a turn learned), canary-guard.ts, consolidation.ts, statistics.ts.

import { NotFoundError } from '../base/errors.ts'
import type { GenerateEvent, Generation, Head, Prompt, PromptOptions } from '../runtime/index.ts'
import { CanaryGuard } from './turns/canary-guard.ts'
import { slowRank } from './slow/train-slow-tier.ts'
import {
  bareStudent,
  type Consolidated,
  type ConsolidateUserOptions,
  consolidateUser,
} from './slow/consolidate-user.ts'
import { createDeepTiers, type DeepTiers } from './tiers/layer-tier-program.ts'
import { type HeadErrors, headErrors } from './tiers/head-gradient.ts'
import {
  checkLearnerOptions,
  type LearnerOptions,
  type ScheduledBy,
  scheduleOf,
} from './learner-options.ts'
import { restoreUser, type StateOrigin, stateOfUser } from './users/user-codec.ts'
import {
  clearTiers,
  type LearnerUser,
  newUser,
  type NumberedVersion,
  servedBy,
  switchTo,
  type Turn,
} from './user.ts'
import { LearnerUsers } from './users/user-registry.ts'
import type { LearningSignal } from './turns/reward.ts'
import {
  type LearnerWarning,
  statisticsOf,
  type UserStatistics,
  warningsFor,
} from './users/statistics.ts'
import type { UserState } from './store/user-state.ts'
import type { Reading, Sight, Student, StudentOptions } from './tiers/tier-stack.ts'
import { isAtHead } from './tiers/tier-targets.ts'
import {
  type FeedbackResult,
  learnFeedback,
  learnRight,
  type TeachingParts,
} from './turns/learn-turn.ts'
import {
  type Asked,
  encoded,
  type Example,
  flat,
  keyLayer,
  lossOver,
  statesOf,
} from './turns/turns.ts'

export interface LearnedTurn extends Example {
  readonly user: string
}

export type LearnerEvent = GenerateEvent | { readonly type: 'turn-end'; readonly turn: number }

/**
 * Calls for one user are done one after the other, for different users at the same time; answers
 * are written while others learn.
 */
export interface Learner {
  /**
   * Answers as this user's model. The last event, 'turn-end', has the number that feedback names.
   */
  generate(
    prompt: Prompt,
    options: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void>
  /**
   * Learns from what an answer got. Throws NotFoundError for a turn that is no longer kept,
   * OptionError for a signal out of range.
   */
  feedback(
    signal: LearningSignal & { readonly user: string; readonly turn: number },
  ): Promise<FeedbackResult>
  /** Learns a completion that was right; returns the losses from before. */
  learn(turn: LearnedTurn): Promise<Reading>
  /** The loss of a completion as this user's model sees it, in nats a token; nothing is learned. */
  loss(turn: LearnedTurn): Promise<number>
  /**
   * The slow tier takes over what was learned, by training or by an exact sum; where the gate says
   * no, nothing changes.
   */
  consolidate(user: string, options?: ConsolidateUserOptions): Promise<Consolidated>
  /**
   * Whether the schedule calls for a consolidation; after a learned turn that is due it is done by
   * itself.
   */
  due(user: string): Promise<boolean>
  /** Versions of the slow tier that are kept, the oldest (no adapter) first. */
  versions(user: string): Promise<readonly NumberedVersion[]>
  /**
   * Goes back to a version of the slow tier by its number; fast tier and memory, which stand on
   * another, are emptied.
   */
  restore(user: string, version: number): Promise<void>
  /** What a user's turns and signals were like, and what is kept. */
  statistics(user: string): Promise<UserStatistics>
  /** What the figures call for; each says what to do. */
  warnings(user: string): Promise<readonly LearnerWarning[]>
  /** A user's tiers, made when first asked for: to look at. */
  student(user: string): Promise<Student>
  /** Removes a user, also from the store. */
  forget(user: string): Promise<void>
  /**
   * Waits for every call and saves everybody. Rejects with StorageError naming those who could not
   * be saved; they stay in memory.
   */
  flush(): Promise<void>
  /** Flushes; no call is taken afterwards. The store stays open: whoever opened it closes it. */
  close(): Promise<void>
}

/**
 * A learner over a model. Its head is the model's own; the model may go on serving others beside
 * it. Throws OptionError for options out of range.
 */
export const createLearner = (options: LearnerOptions): Learner => new TieredLearner(options)

/** What a hidden state of an answer was, and what serving saw at it. */
interface Seen {
  readonly hidden: Float32Array
  readonly sight: Sight
}

const beforeAnyClock = (): number => 0

/** Undefined where the fast tier lies at the head, or there is none. */
function deepTiersOf({ model, fast }: LearnerOptions): DeepTiers | undefined {
  if (!fast || !fast.where || isAtHead(fast.where)) return undefined
  return createDeepTiers(model, { ...fast, where: fast.where })
}

class TieredLearner implements Learner {
  readonly #options: LearnerOptions
  readonly #head: Head
  readonly #errors: HeadErrors
  /** Where the fast tier lies on layers. */
  readonly #deep: DeepTiers | undefined
  /** The layer whose incoming states tiers on layers and the memory stand on. */
  readonly #layer: number | undefined
  readonly #tiers: StudentOptions
  readonly #schedule: ScheduledBy | undefined
  readonly #users: LearnerUsers
  readonly #guard: CanaryGuard
  readonly #teaching: TeachingParts
  readonly #scheduled = new Set<string>()
  #origin: StateOrigin | undefined

  constructor(options: LearnerOptions) {
    const { model, canaries = [], guard, keptRows = 256 } = options
    checkLearnerOptions(options)
    slowRank(options.slow)
    this.#options = options
    this.#head = model.head()
    this.#errors = headErrors(this.#head, options.breadth)
    this.#schedule = scheduleOf(options)
    this.#deep = deepTiersOf(options)
    this.#layer =
      this.#deep?.layer ?? (options.memory === false ? undefined : keyLayer(model.config))
    this.#tiers = { ...options, ...(this.#deep && { fast: false }) }
    this.#made('') // checks the tiers' options
    this.#guard = new CanaryGuard({
      model,
      options: guard,
      canaries: () => canaries.map((canary) => encoded(model, canary)),
      bare: (version) => bareStudent({ head: this.#head, errors: this.#errors }, version),
      layer: this.#layer,
    })
    this.#users = new LearnerUsers(options, {
      ready: () => this.#identify(),
      wake: (name, state) => this.#wake(name, state),
      stateOf: (user) => stateOfUser(user, this.#origin!),
      replay: (user, { turn, signal }) =>
        signal
          ? learnFeedback(user, turn, signal, this.#teaching)
          : learnRight(user, turn, this.#teaching),
    })
    this.#teaching = {
      model,
      rewards: options,
      guard: this.#guard,
      keptRows,
      deep: this.#deep,
      layer: this.#layer,
      learned: (user, job) => this.#users.learned(user, job),
    }
  }

  async *generate(
    prompt: Prompt,
    { user: name, ...given }: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void> {
    const user = await this.#users.live(name)
    const { model } = this.#options
    const seen: Seen[] = []
    const states: Float32Array[] = []
    const tap = this.#layer !== undefined && {
      states: {
        layer: this.#layer,
        take: (_: number, part: Float32Array) => void states.push(part.slice()),
      },
    }
    const head = async (state: Float32Array): Promise<Float32Array> => {
      const hidden = state.slice()
      const { logits, sight } = await user.student.answer(
        hidden,
        states.at(-1)?.slice(-hidden.length),
      )
      seen.push({ hidden, sight })
      return logits
    }
    const asked = model.encode(prompt, given.chat)
    const adapter = servedBy(user)
    for await (const event of model.generate(asked, {
      ...given,
      ...(adapter && { adapter }),
      ...tap,
      head,
    })) {
      yield event
      if (event.type !== 'generation-end') continue
      const answered = this.#answered(asked, event, seen, user.student)
      const turn = {
        ...answered,
        adapter,
        ...(tap && { states: this.#statesOf(states, answered) }),
      }
      yield {
        type: 'turn-end',
        turn: await this.#users.mark(name, (live) => this.#keepTurn(live, turn)),
      }
    }
  }

  #answered(
    asked: readonly number[],
    { ids, reason }: Generation,
    seen: readonly Seen[],
    student: Student,
  ): Omit<Turn, 'adapter'> {
    const eos = this.#options.model.base.tokenizer?.eosId
    const answer = [...ids, ...(reason === 'eos' && eos !== undefined ? [eos] : [])]
    const scored = seen.slice(0, answer.length)
    const hidden = flat(
      scored.map((one) => one.hidden),
      this.#head.width,
    )
    return {
      ids: [...asked, ...answer],
      promptTokens: asked.length,
      hidden,
      sights: { student, seen: scored.map(({ sight }) => sight) },
    }
  }

  /** Those of the whole turn are for a tier on layers; a memory wants the answer's only. */
  #statesOf(parts: readonly Float32Array[], answered: Asked): Turn['states'] {
    const { states, keys } = statesOf(parts, answered, this.#head.width)
    return { keys, ...(this.#deep && { states }) }
  }

  #keepTurn(user: LearnerUser, turn: Turn): number {
    const number = user.count++
    const last = number - 1
    const before = user.turns.get(number - 1)
    if (before)
      user.turns.set(last, {
        ...before,
        sights: undefined,
        ...(this.#deep && { states: undefined }),
      })
    user.turns.set(number, turn)
    while (user.turns.size > (this.#options.keptTurns ?? 32))
      user.turns.delete(user.turns.keys().next().value!)
    return number
  }

  async feedback({
    user: name,
    turn: number,
    ...signal
  }: LearningSignal & { readonly user: string; readonly turn: number }) {
    const result = await this.#users.change(name, async (user) => {
      const turn = user.turns.get(number)
      if (!turn)
        throw new NotFoundError(
          `Turn ${number} of user ${JSON.stringify(name)} is not kept (any more); ${user.turns.size} are.`,
        )
      const learned = await learnFeedback(user, turn, signal, this.#teaching)
      user.turns.delete(number) // an answer is judged once
      return learned
    })
    this.#followSchedule(name)
    return result
  }

  async learn(given: LearnedTurn): Promise<Reading> {
    const turn: Turn = {
      ...encoded(this.#options.model, given),
      hidden: undefined,
      adapter: undefined,
    }
    const reading = await this.#users.change(given.user, (user) =>
      learnRight(user, turn, this.#teaching),
    )
    this.#followSchedule(given.user)
    return reading
  }

  async loss(given: LearnedTurn): Promise<number> {
    const { model } = this.#options
    const user = await this.#users.live(given.user)
    return lossOver(model, [encoded(model, given)], user.student, servedBy(user), this.#layer)
  }

  async consolidate(
    name: string,
    { by = 'training', canaries, ...bounds }: ConsolidateUserOptions = {},
  ): Promise<Consolidated> {
    const { model, slow, keptVersions = 4 } = this.#options
    const watched = canaries
      ? canaries.map((canary) => encoded(model, canary))
      : this.#guard.canaries
    const parts = {
      model,
      head: this.#head,
      errors: this.#errors,
      tiers: this.#tiers,
      layer: this.#layer,
      slow,
      keptVersions,
      now: this.#now,
    }
    return this.#users.change(name, async (user) => {
      // a gate that says no is not asked again on the next turn
      user.consolidated = { time: this.#now(), learned: user.learned }
      return consolidateUser(user, by, watched, bounds, parts)
    })
  }

  async due(name: string): Promise<boolean> {
    const { learned, consolidated } = await this.#users.live(name)
    const { everyMs = Infinity, everyTurns = Infinity } = this.#schedule ?? {}
    const turns = learned - consolidated.learned
    return turns > 0 && (turns >= everyTurns || this.#now() - consolidated.time >= everyMs)
  }

  /** In the user's queue, not in the way of whoever just taught. */
  #followSchedule(name: string): void {
    if (!this.#schedule || this.#scheduled.has(name)) return
    this.#scheduled.add(name)
    const { by } = this.#schedule
    const done = this.due(name).then((isDue) =>
      isDue ? this.consolidate(name, { by: by! }) : undefined,
    )
    this.#users.watch(
      name,
      done.finally(() => this.#scheduled.delete(name)),
    )
  }

  async versions(name: string): Promise<readonly NumberedVersion[]> {
    return (await this.#users.live(name)).versions
  }

  restore(name: string, version: number): Promise<void> {
    return this.#users.change(name, async (user) => {
      const found = user.versions.find(({ number }) => number === version)
      const known = user.versions.map(({ number }) => number).join(', ')
      if (!found)
        throw new NotFoundError(
          `There is no version ${version} of user ${JSON.stringify(name)}; there are ${known}.`,
        )
      switchTo(user, found)
      clearTiers(user)
    })
  }

  async statistics(name: string): Promise<UserStatistics> {
    return statisticsOf(await this.#users.live(name))
  }

  async warnings(name: string): Promise<readonly LearnerWarning[]> {
    return warningsFor(await this.#users.live(name))
  }

  async student(name: string): Promise<Student> {
    return (await this.#users.live(name)).student
  }

  forget(name: string): Promise<void> {
    return this.#users.forget(name)
  }

  flush(): Promise<void> {
    return this.#users.flush()
  }

  async close(): Promise<void> {
    await this.#users.close()
    await this.#deep?.dispose()
  }

  get #now(): () => number {
    return this.#options.now ?? beforeAnyClock
  }

  #made(name: string): LearnerUser {
    return newUser(name, {
      head: this.#head,
      errors: this.#errors,
      options: this.#tiers,
      deep: this.#deep,
      now: this.#now,
    })
  }

  /** What states belong to; the base is read once for it, and only where there is a store. */
  async #identify(): Promise<void> {
    if (!this.#users.isStored) return
    const { width, vocabularySize } = this.#head
    this.#origin = { base: await this.#options.model.base.identity(), width, vocabularySize }
  }

  #wake(name: string, state: UserState | undefined): LearnerUser {
    const user = this.#made(name)
    if (state) restoreUser(user, state, this.#origin!)
    return user
  }
}
