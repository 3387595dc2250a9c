// A user's stored turns, read without a model: ids and feedback.

import { UserCheckpoints } from '../store/checkpoints.ts'
import type { UserStore } from '../store/user-store.ts'
import { decodeHistory } from '../users/history-tensors.ts'
import type { UserHeader } from '../users/user-header.ts'
import type { LearningSignal } from '../turns/reward.ts'

/** A turn that was learned from. */
export interface StoredTurn {
  /** As the learner numbers the user's turns. */
  readonly number: number
  /** How many learned turns came before it, dropped ones counted. */
  readonly place: number
  readonly promptIds: readonly number[]
  readonly answerIds: readonly number[]
  /** Undefined for an answer that was right: taught, or the correction of another. */
  readonly signal: LearningSignal | undefined
  /** Of a correction: what was answered in its place. */
  readonly replacedIds: readonly number[] | undefined
}

export interface StoredHistory {
  /** `identity()` of the base model. */
  readonly base: string
  /** The hash of the expert's content; undefined: the base alone answered. */
  readonly expert: string | undefined
  /** Turns that were learned before the first of `turns`, and are no longer kept. */
  readonly dropped: number
  readonly turns: readonly StoredTurn[]
}

/**
 * The newest state of a user; undefined if there is none, or if no learner wrote it. Throws
 * FormatError if nothing of the user can be read.
 */
export async function readStoredHistory(
  store: UserStore,
  user: string,
): Promise<StoredHistory | undefined> {
  const opened = await new UserCheckpoints(store).open(user)
  if (!opened) return undefined
  const header = opened.state.header as unknown as Partial<UserHeader>
  if (typeof header.learner !== 'number' || !header.origin) return undefined
  const { dropped, entries } = decodeHistory(opened.state.tensors, header as UserHeader)
  const { base, expert } = header.origin
  const turns = entries.map(({ number, ids, promptTokens, signal, replaced }, i) => ({
    number,
    place: dropped + i,
    promptIds: ids.slice(0, promptTokens),
    answerIds: ids.slice(promptTokens),
    signal,
    replacedIds: replaced,
  }))
  return { base, expert, dropped, turns }
}
