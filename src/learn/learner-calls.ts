// The interface of a learner: its calls, their arguments and results. Independent of how users
// learn.

import type {
  EngineRequest,
  GenerateEvent,
  Generation,
  Prompt,
  PromptOptions,
} from '../runtime/index.ts'
import type { TierStack } from './tiers/tier-stack.ts'
import type { TurnExample } from './turns/encode-turn.ts'
import type { LearningSignal } from './turns/reward.ts'
import type { TurnRequest } from './turns/start-turn.ts'
import type { ConsolidateUserOptions, ConsolidationResult } from './updates/consolidate-user.ts'
import type { CompletionScores, FeedbackResult } from './updates/learn-turn.ts'
import type { UnlearningResult } from './updates/unlearn-turn.ts'
import type { LearnerWarning, UserStatistics } from './users/statistics.ts'
import type { NumberedVersion } from './users/user.ts'

export interface LearnedTurn extends TurnExample {
  readonly user: string
  /** Whether `learn` also returns the losses of the frozen base model, in one pass where it can. */
  readonly wantsFrozenLosses?: boolean
}

export type LearnerEvent = GenerateEvent | { readonly type: 'turn-end'; readonly turn: number }

/** An answer that an engine of the same model gives under a user's tiers. */
export interface UserAnswer {
  /** What the engine's request needs; the rest of it is the caller's. */
  readonly request: TurnRequest & Pick<EngineRequest, 'tenant'>
  /** Adds the answer to the user's turns; returns its number, for `feedback`. */
  finish(generation: Pick<Generation, 'ids' | 'reason'>): Promise<number>
}

/** Readers of what is known about a user; they change nothing. */
export interface UserReaders {
  /** Versions of the slow tier that are kept, the oldest (no adapter) first. */
  versions(user: string): Promise<readonly NumberedVersion[]>
  /** Statistics of a user's turns and signals, and of the stored state. */
  statistics(user: string): Promise<UserStatistics>
  /** Warnings that follow from the statistics; each says what to do. */
  warnings(user: string): Promise<readonly LearnerWarning[]>
  /** A user's tiers, for inspection. */
  tiers(user: string): Promise<TierStack>
  /** Turns that are kept: those that can be rated, and learned ones that can be taken back. */
  turns(user: string): Promise<readonly KeptUserTurn[]>
}

export interface KeptUserTurn {
  readonly turn: number
  /** 'open': it can still be rated. */
  readonly state: 'open' | 'learned'
  readonly promptIds: readonly number[]
  readonly answerIds: readonly number[]
  /** What it was learned by; undefined for a right completion and for an open turn. */
  readonly signal: LearningSignal | undefined
  /** Of a correction: what was answered in its place. */
  readonly replacedIds: readonly number[] | undefined
}

/** The right completion of a turn whose answer was another. */
export interface CorrectedTurn {
  readonly user: string
  readonly turn: number
  readonly completion: string
}

/**
 * Calls for one user run one after the other, calls for different users at the same time; answers
 * are generated while others learn.
 */
export interface Learner extends UserReaders {
  /** Answers under this user's model. The last event, 'turn-end', has the number for `feedback`. */
  generate(
    prompt: Prompt,
    options: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void>
  /**
   * For programs that ask an engine themselves: one answer under this user's model, to a prompt of
   * ids that the user's expert reads.
   */
  startAnswer(user: string, promptIds: readonly number[]): Promise<UserAnswer>
  /**
   * Learns from the signal of an answer. Throws NotFoundError for a turn that is no longer kept,
   * OptionError for a signal out of range.
   */
  feedback(
    signal: LearningSignal & { readonly user: string; readonly turn: number },
  ): Promise<FeedbackResult>
  /**
   * Learns what the answer of a turn should have been. Throws NotFoundError for a turn that can no
   * longer be rated.
   */
  correct(correction: CorrectedTurn): Promise<CompletionScores>
  /** Learns a completion that was right; returns the losses from before. */
  learn(turn: LearnedTurn): Promise<CompletionScores>
  /** The loss of a completion under this user's model, in nats per token; nothing is learned. */
  loss(turn: LearnedTurn): Promise<number>
  /**
   * Moves what was learned into the slow tier, by training or by an exact sum; changes nothing
   * where the validation gate fails.
   */
  consolidate(user: string, options?: ConsolidateUserOptions): Promise<ConsolidationResult>
  /**
   * Whether a consolidation is due by the schedule; after a learned turn a due one runs
   * automatically.
   */
  due(user: string): Promise<boolean>
  /**
   * Restores a version of the slow tier by its number; fast tier and memory, which were learned on
   * another one, are emptied.
   */
  restore(user: string, version: number): Promise<void>
  /**
   * Takes back one turn, learned or still to be rated, with later ones whose prompts contain it:
   * the turns since then are learned again without it, versions of the slow tier that had learned
   * it go, and the store's earlier checkpoints are removed. Completions that were only learned
   * leave what a user has who never learned them, bit for bit. Throws NotFoundError for a turn that
   * is not kept or can no longer be separated, StorageError if it is still in the store.
   */
  unlearn(user: string, turn: number): Promise<UnlearningResult>
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
