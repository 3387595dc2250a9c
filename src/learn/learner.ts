// A model that learns from its users: each has a fast tier and a memory at the head, and a slow tier
// that consolidates what they learned. Users share the base model and nothing else. This file is the
// caller's view; users/ has who is in memory and saved, updates/ what changes a user.

import { NotFoundError } from '../base/errors.ts'
import { readOptions } from '../base/schema.ts'
import type { GenerateEvent, Prompt, PromptOptions } from '../runtime/index.ts'
import { createLearnerContext, type LearnerContext } from './learner-context.ts'
import type { LearnerOptions } from './learner-options.ts'
import type { UserState } from './store/user-state.ts'
import type { TierStack } from './tiers/tier-stack.ts'
import { encodeTurn, type TurnExample } from './turns/encode-turn.ts'
import { measureLoss } from './turns/measure-loss.ts'
import type { LearningSignal } from './turns/reward.ts'
import { generateTurn } from './turns/generate-turn.ts'
import { CanaryGuard } from './updates/canary-guard.ts'
import {
  consolidateFields,
  type ConsolidateUserOptions,
  consolidateUser,
  type ConsolidationResult,
} from './updates/consolidate-user.ts'
import { ConsolidationScheduler, isConsolidationDue } from './updates/consolidation-schedule.ts'
import { createBaselineTiers } from './updates/gate-losses.ts'
import {
  type CompletionScores,
  type FeedbackResult,
  learnCompletion,
  learnFeedback,
  type LearnTurnParts,
} from './updates/learn-turn.ts'
import {
  computeStatistics,
  type LearnerWarning,
  listWarnings,
  type UserStatistics,
} from './users/statistics.ts'
import {
  addTurn,
  createUser,
  getServingExpert,
  type LearnerUser,
  type NumberedVersion,
  switchVersion,
} from './users/user.ts'
import { encodeUser, restoreUser } from './users/user-codec.ts'
import type { StateOrigin } from './users/user-header.ts'
import { UserRegistry } from './users/user-registry.ts'
import { clearTiers } from './users/user-snapshot.ts'

export interface LearnedTurn extends TurnExample {
  readonly user: string
  /** Whether `learn` also returns the losses of the frozen base model, in one pass where it can. */
  readonly wantsFrozenLosses?: boolean
}

export type LearnerEvent = GenerateEvent | { readonly type: 'turn-end'; readonly turn: number }

/**
 * Calls for one user run one after the other, calls for different users at the same time; answers are
 * generated while others learn.
 */
export interface Learner {
  /** Answers under this user's model. The last event, 'turn-end', has the number for `feedback`. */
  generate(
    prompt: Prompt,
    options: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void>
  /**
   * Learns from the signal of an answer. Throws NotFoundError for a turn that is no longer kept,
   * OptionError for a signal out of range.
   */
  feedback(
    signal: LearningSignal & { readonly user: string; readonly turn: number },
  ): Promise<FeedbackResult>
  /** Learns a completion that was right; returns the losses from before. */
  learn(turn: LearnedTurn): Promise<CompletionScores>
  /** The loss of a completion under this user's model, in nats a token; nothing is learned. */
  loss(turn: LearnedTurn): Promise<number>
  /**
   * Moves what was learned into the slow tier, by training or by an exact sum; changes nothing where
   * the validation gate fails.
   */
  consolidate(user: string, options?: ConsolidateUserOptions): Promise<ConsolidationResult>
  /**
   * Whether a consolidation is due by the schedule; after a learned turn a due one runs by itself.
   */
  due(user: string): Promise<boolean>
  /** Versions of the slow tier that are kept, the oldest (no adapter) first. */
  versions(user: string): Promise<readonly NumberedVersion[]>
  /**
   * Restores a version of the slow tier by its number; fast tier and memory, which were learned on
   * another one, are emptied.
   */
  restore(user: string, version: number): Promise<void>
  /** Statistics of a user's turns and signals, and of what is kept. */
  statistics(user: string): Promise<UserStatistics>
  /** Warnings that follow from the statistics; each says what to do. */
  warnings(user: string): Promise<readonly LearnerWarning[]>
  /** A user's tiers, for inspection. */
  tiers(user: string): Promise<TierStack>
  /** Removes a user, also from the store. */
  forget(user: string): Promise<void>
  /**
   * Waits for every call and saves all users. Rejects with StorageError that names those who could
   * not be saved; they stay in memory.
   */
  flush(): Promise<void>
  /** Flushes and ends the learner; the store stays open. */
  close(): Promise<void>
}

/**
 * A learner over a model, by the model's own head; the model can serve other callers at the same
 * time. Throws OptionError with everything that is wrong with the options.
 */
export const createLearner = (options: LearnerOptions): Learner => new TieredLearner(options)

class TieredLearner implements Learner {
  readonly #context: LearnerContext
  readonly #guard: CanaryGuard
  readonly #users: UserRegistry
  readonly #turnParts: LearnTurnParts
  readonly #scheduler: ConsolidationScheduler
  #origin: StateOrigin | undefined

  constructor(options: LearnerOptions) {
    this.#context = createLearnerContext(options)
    const { model, layer } = this.#context
    const { canaries = [], guard } = options
    this.#guard = new CanaryGuard(
      {
        model,
        canaries: () => canaries.map((canary) => encodeTurn(model, canary)),
        createBaseline: (version) => createBaselineTiers(this.#context, version),
        layer,
      },
      guard,
    )
    this.#users = new UserRegistry(options, {
      prepare: () => this.#readOrigin(),
      load: (name, state) => this.#loadUser(name, state),
      stateOf: (user) => encodeUser(user, this.#origin!),
      replay: (user, { turn, signal }) =>
        signal
          ? learnFeedback(user, turn, signal, this.#turnParts)
          : learnCompletion(user, turn, this.#turnParts),
    })
    this.#turnParts = {
      ...this.#context,
      rewards: options,
      baseline: createBaselineTiers(this.#context, { adapter: undefined, ewc: undefined }),
      guard: this.#guard,
      onLearned: (user, update) => this.#users.recordLearned(user, update),
    }
    this.#scheduler = new ConsolidationScheduler(
      async (name) => {
        const { trigger } = this.#context
        if (trigger && (await this.due(name))) await this.consolidate(name, { by: trigger.by })
      },
      (name, work) => this.#users.addBackground(name, work),
    )
  }

  async *generate(
    prompt: Prompt,
    { user: name, ...options }: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void> {
    const user = await this.#users.get(name)
    const { layerTiers, keptTurns } = this.#context
    const turn = yield* generateTurn(
      { ...this.#context, keepsLayerInput: layerTiers !== undefined },
      { tiers: user.tiers, adapter: getServingExpert(user) },
      prompt,
      options,
    )
    if (!turn) return
    yield {
      type: 'turn-end',
      turn: await this.#users.changeNow(name, (live) => addTurn(live, turn, keptTurns)),
    }
  }

  async feedback({
    user: name,
    turn: number,
    ...signal
  }: LearningSignal & { readonly user: string; readonly turn: number }): Promise<FeedbackResult> {
    const result = await this.#users.change(name, async (user) => {
      const turn = user.turns.get(number)
      if (!turn)
        throw new NotFoundError(
          `Turn ${number} of user ${JSON.stringify(name)} is not kept (any more); ${user.turns.size} are.`,
        )
      const learned = await learnFeedback(user, turn, signal, this.#turnParts)
      user.turns.delete(number) // an answer is rated once
      return learned
    })
    this.#checkSchedule(name)
    return result
  }

  async learn(given: LearnedTurn): Promise<CompletionScores> {
    const encoded = encodeTurn(this.#context.model, given)
    const turn = { ...encoded, hidden: undefined, adapter: undefined }
    const scores = await this.#users.change(given.user, (user) =>
      learnCompletion(user, turn, this.#turnParts, given.wantsFrozenLosses),
    )
    this.#checkSchedule(given.user)
    return scores
  }

  async loss(given: LearnedTurn): Promise<number> {
    const { model, layer } = this.#context
    const user = await this.#users.get(given.user)
    return measureLoss(model, [encodeTurn(model, given)], user.tiers, getServingExpert(user), layer)
  }

  async consolidate(
    name: string,
    options: ConsolidateUserOptions = {},
  ): Promise<ConsolidationResult> {
    const values = readOptions('Consolidation', options, consolidateFields)
    const { by, bound, least } = values
    const { model, now } = this.#context
    const given = values.canaries?.map((canary) => encodeTurn(model, canary))
    const canaries = given ?? this.#guard.canaries
    return this.#users.change(name, async (user) => {
      // before the gate, so that a failing one does not run again after the next turn
      user.consolidated = { time: now(), learned: user.learned }
      return consolidateUser(user, by, { canaries, bound, least }, this.#context)
    })
  }

  async due(name: string): Promise<boolean> {
    const { trigger, now } = this.#context
    const user = await this.#users.get(name)
    return trigger !== undefined && isConsolidationDue(user, trigger, now())
  }

  #checkSchedule(name: string): void {
    if (this.#context.trigger) this.#scheduler.check(name)
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
    await this.#context.layerTiers?.dispose()
  }

  /** Reads the base model's identity, once and only for a store. */
  async #readOrigin(): Promise<void> {
    if (!this.#users.isStored) return
    const { model, head } = this.#context
    const { width, vocabularySize } = head
    this.#origin = { base: await model.base.identity(), width, vocabularySize }
  }

  #loadUser(name: string, state: UserState | undefined): LearnerUser {
    const user = createUser(name, this.#context)
    if (state) restoreUser(user, state, this.#origin!)
    return user
  }
}
