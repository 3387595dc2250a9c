// A model that learns from its users: each has a fast tier and a memory at the head, and a slow
// tier that takes over what they learned. Users share the base and nothing else. Here is what a
// caller sees; the parts lie beside it: learner-users.ts (who is in memory, what is saved),
// teaching.ts (a turn learned), canary-guard.ts, consolidation.ts, statistics.ts.

import { NotFoundError } from '../base/errors.ts'
import type { GenerateEvent, Generation, Head, Prompt, PromptOptions } from '../runtime/index.ts'
import { CanaryGuard } from './turns/canary-guard.ts'
import { resolveSlowRank } from './slow/train-slow-tier.ts'
import {
  createBaselineTiers,
  type ConsolidationResult,
  type ConsolidateUserOptions,
  consolidateUser,
} from './slow/consolidate-user.ts'
import { createLayerTiers, type LayerTiers } from './tiers/layer-tier-program.ts'
import { type HeadLoss, createHeadLoss } from './tiers/head-gradient.ts'
import {
  checkLearnerOptions,
  type LearnerOptions,
  type ConsolidationTrigger,
  resolveSchedule,
} from './learner-options.ts'
import { restoreUser, type StateOrigin, encodeUser } from './users/user-codec.ts'
import {
  clearTiers,
  type LearnerUser,
  createUser,
  type NumberedVersion,
  getServingExpert,
  switchVersion,
  type Turn,
} from './user.ts'
import { UserRegistry } from './users/user-registry.ts'
import type { LearningSignal } from './turns/reward.ts'
import {
  type LearnerWarning,
  computeStatistics,
  type UserStatistics,
  listWarnings,
} from './users/statistics.ts'
import type { UserState } from './store/user-state.ts'
import type { Scores, Observation, TierStack, TierStackOptions } from './tiers/tier-stack.ts'
import { isAtHead } from './tiers/tier-targets.ts'
import {
  type FeedbackResult,
  learnFeedback,
  learnCompletion,
  type LearnTurnParts,
} from './turns/learn-turn.ts'
import {
  type EncodedTurn,
  encodeTurn,
  type TurnExample,
  joinRows,
  selectKeyLayer,
  measureLoss,
  joinStates,
} from './turns/turns.ts'

export interface LearnedTurn extends TurnExample {
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
  learn(turn: LearnedTurn): Promise<Scores>
  /** The loss of a completion as this user's model sees it, in nats a token; nothing is learned. */
  loss(turn: LearnedTurn): Promise<number>
  /**
   * The slow tier takes over what was learned, by training or by an exact sum; where the gate says
   * no, nothing changes.
   */
  consolidate(user: string, options?: ConsolidateUserOptions): Promise<ConsolidationResult>
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
  tiers(user: string): Promise<TierStack>
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
interface ServedState {
  readonly hidden: Float32Array
  readonly observation: Observation
}

const getZeroTime = (): number => 0

/** Undefined where the fast tier lies at the head, or there is none. */
function setUpLayerTiers({ model, fast }: LearnerOptions): LayerTiers | undefined {
  if (!fast || !fast.where || isAtHead(fast.where)) return undefined
  return createLayerTiers(model, { ...fast, where: fast.where })
}

class TieredLearner implements Learner {
  readonly #options: LearnerOptions
  readonly #head: Head
  readonly #headLoss: HeadLoss
  /** Where the fast tier lies on layers. */
  readonly #layerTiers: LayerTiers | undefined
  /** The layer whose incoming states tiers on layers and the memory stand on. */
  readonly #layer: number | undefined
  readonly #tierOptions: TierStackOptions
  readonly #schedule: ConsolidationTrigger | undefined
  readonly #users: UserRegistry
  readonly #guard: CanaryGuard
  readonly #turnParts: LearnTurnParts
  readonly #scheduled = new Set<string>()
  #origin: StateOrigin | undefined

  constructor(options: LearnerOptions) {
    const { model, canaries = [], guard, keptRows = 256 } = options
    checkLearnerOptions(options)
    resolveSlowRank(options.slow)
    this.#options = options
    this.#head = model.head()
    this.#headLoss = createHeadLoss(this.#head, options.breadth)
    this.#schedule = resolveSchedule(options)
    this.#layerTiers = setUpLayerTiers(options)
    this.#layer =
      this.#layerTiers?.layer ??
      (options.memory === false ? undefined : selectKeyLayer(model.config))
    this.#tierOptions = { ...options, ...(this.#layerTiers && { fast: false }) }
    this.#createUser('') // checks the tiers' options
    this.#guard = new CanaryGuard({
      model,
      options: guard,
      canaries: () => canaries.map((canary) => encodeTurn(model, canary)),
      createBaseline: (version) =>
        createBaselineTiers({ head: this.#head, headLoss: this.#headLoss }, version),
      layer: this.#layer,
    })
    this.#users = new UserRegistry(options, {
      prepare: () => this.#identify(),
      load: (name, state) => this.#loadUser(name, state),
      stateOf: (user) => encodeUser(user, this.#origin!),
      replay: (user, { turn, signal }) =>
        signal
          ? learnFeedback(user, turn, signal, this.#turnParts)
          : learnCompletion(user, turn, this.#turnParts),
    })
    this.#turnParts = {
      model,
      rewards: options,
      guard: this.#guard,
      keptRows,
      layerTiers: this.#layerTiers,
      layer: this.#layer,
      onLearned: (user, job) => this.#users.recordLearned(user, job),
    }
  }

  async *generate(
    prompt: Prompt,
    { user: name, ...given }: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void> {
    const user = await this.#users.get(name)
    const { model } = this.#options
    const seen: ServedState[] = []
    const states: Float32Array[] = []
    const tap = this.#layer !== undefined && {
      states: {
        layer: this.#layer,
        take: (_: number, part: Float32Array) => void states.push(part.slice()),
      },
    }
    const head = async (state: Float32Array): Promise<Float32Array> => {
      const hidden = state.slice()
      const { logits, observation } = await user.tiers.predict(
        hidden,
        states.at(-1)?.slice(-hidden.length),
      )
      seen.push({ hidden, observation })
      return logits
    }
    const asked = model.encode(prompt, given.chat)
    const adapter = getServingExpert(user)
    for await (const event of model.generate(asked, {
      ...given,
      ...(adapter && { adapter }),
      ...tap,
      head,
    })) {
      yield event
      if (event.type !== 'generation-end') continue
      const answered = this.#toTurn(asked, event, seen, user.tiers)
      const turn = {
        ...answered,
        adapter,
        ...(tap && { states: this.#joinStates(states, answered) }),
      }
      yield {
        type: 'turn-end',
        turn: await this.#users.changeNow(name, (live) => this.#keepTurn(live, turn)),
      }
    }
  }

  #toTurn(
    asked: readonly number[],
    { ids, reason }: Generation,
    seen: readonly ServedState[],
    tiers: TierStack,
  ): Omit<Turn, 'adapter'> {
    const eos = this.#options.model.base.tokenizer?.eosId
    const answer = [...ids, ...(reason === 'eos' && eos !== undefined ? [eos] : [])]
    const scored = seen.slice(0, answer.length)
    const hidden = joinRows(
      scored.map((one) => one.hidden),
      this.#head.width,
    )
    return {
      ids: [...asked, ...answer],
      promptTokens: asked.length,
      hidden,
      observed: { tiers, observations: scored.map(({ observation }) => observation) },
    }
  }

  /** Those of the whole turn are for a tier on layers; a memory wants the answer's only. */
  #joinStates(parts: readonly Float32Array[], answered: EncodedTurn): Turn['layerStates'] {
    const { layerInput, keys } = joinStates(parts, answered, this.#head.width)
    return { keys, ...(this.#layerTiers && { layerInput }) }
  }

  #keepTurn(user: LearnerUser, turn: Turn): number {
    const number = user.count++
    const last = number - 1
    const before = user.turns.get(number - 1)
    if (before)
      user.turns.set(last, {
        ...before,
        observed: undefined,
        ...(this.#layerTiers && { layerStates: undefined }),
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
      const learned = await learnFeedback(user, turn, signal, this.#turnParts)
      user.turns.delete(number) // an answer is judged once
      return learned
    })
    this.#followSchedule(name)
    return result
  }

  async learn(given: LearnedTurn): Promise<Scores> {
    const turn: Turn = {
      ...encodeTurn(this.#options.model, given),
      hidden: undefined,
      adapter: undefined,
    }
    const reading = await this.#users.change(given.user, (user) =>
      learnCompletion(user, turn, this.#turnParts),
    )
    this.#followSchedule(given.user)
    return reading
  }

  async loss(given: LearnedTurn): Promise<number> {
    const { model } = this.#options
    const user = await this.#users.get(given.user)
    return measureLoss(
      model,
      [encodeTurn(model, given)],
      user.tiers,
      getServingExpert(user),
      this.#layer,
    )
  }

  async consolidate(
    name: string,
    { by = 'training', canaries, ...bounds }: ConsolidateUserOptions = {},
  ): Promise<ConsolidationResult> {
    const { model, slow, keptVersions = 4 } = this.#options
    const watched = canaries
      ? canaries.map((canary) => encodeTurn(model, canary))
      : this.#guard.canaries
    const parts = {
      model,
      head: this.#head,
      headLoss: this.#headLoss,
      tierOptions: this.#tierOptions,
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
    const { learned, consolidated } = await this.#users.get(name)
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
    return (await this.#users.get(name)).versions
  }

  restore(name: string, version: number): Promise<void> {
    return this.#users.change(name, async (user) => {
      const found = user.versions.find(({ number }) => number === version)
      const known = user.versions.map(({ number }) => number).join(', ')
      if (!found)
        throw new NotFoundError(
          `There is no version ${version} of user ${JSON.stringify(name)}; there are ${known}.`,
        )
      switchVersion(user, found)
      clearTiers(user)
    })
  }

  async statistics(name: string): Promise<UserStatistics> {
    return computeStatistics(await this.#users.get(name))
  }

  async warnings(name: string): Promise<readonly LearnerWarning[]> {
    return listWarnings(await this.#users.get(name))
  }

  async tiers(name: string): Promise<TierStack> {
    return (await this.#users.get(name)).tiers
  }

  forget(name: string): Promise<void> {
    return this.#users.forget(name)
  }

  flush(): Promise<void> {
    return this.#users.flush()
  }

  async close(): Promise<void> {
    await this.#users.close()
    await this.#layerTiers?.dispose()
  }

  get #now(): () => number {
    return this.#options.now ?? getZeroTime
  }

  #createUser(name: string): LearnerUser {
    return createUser(name, {
      head: this.#head,
      headLoss: this.#headLoss,
      options: this.#tierOptions,
      layerTiers: this.#layerTiers,
      now: this.#now,
    })
  }

  /** What states belong to; the base is read once for it, and only where there is a store. */
  async #identify(): Promise<void> {
    if (!this.#users.isStored) return
    const { width, vocabularySize } = this.#head
    this.#origin = { base: await this.#options.model.base.identity(), width, vocabularySize }
  }

  #loadUser(name: string, state: UserState | undefined): LearnerUser {
    const user = this.#createUser(name)
    if (state) restoreUser(user, state, this.#origin!)
    return user
  }
}
