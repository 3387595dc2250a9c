// What is known about a user's checkpoints, and the options of writing them.

import { flag, type GivenOptions, integer, oneOf, positiveInteger } from '../../base/schema.ts'
import { maxChainLength } from './checkpoint-chain.ts'
import { type StateForm, stateForms } from './state-image.ts'
import type { UserState } from './user-state.ts'

export const checkpointFields = {
  /** How f32 matrices are stored. Default 'f32'. */
  form: oneOf(stateForms, { default: 'f32' }),
  /**
   * Checkpoints that stay. Default 8. Their parents stay with them, and old ones are removed when a
   * whole one is written.
   */
  keep: integer({ from: 1, default: 8 }),
  /** Deltas between two whole checkpoints, at most 63; 0: whole ones only. Default 8. */
  deltas: integer({ from: 0, to: maxChainLength - 1, default: 8 }),
}
export type UserCheckpointOptions = GivenOptions<typeof checkpointFields>

export const writeCheckpointFields = {
  /** As of the `UserCheckpoints`, for this checkpoint. */
  form: oneOf(stateForms),
  /** As of the `UserCheckpoints`, from this checkpoint on. */
  keep: positiveInteger,
  /**
   * Write even if the newest checkpoint was never read here or was written by another process; the
   * other one stays in the history.
   */
  onTop: flag({ default: false }),
  /**
   * Write it whole and remove all earlier ones, because they hold what has to be forgotten. Rejects
   * where one cannot be removed.
   */
  alone: flag({ default: false }),
}
export type WriteCheckpointOptions = GivenOptions<typeof writeCheckpointFields>

export interface UserCheckpointInfo {
  readonly sequence: number
  /** Milliseconds since 1970, as the writer gave it. */
  readonly time: number
  readonly form: StateForm
  /** Whether it needs no parent. */
  readonly whole: boolean
  readonly sizeBytes: number
}

export interface RefusedCheckpoint {
  readonly sequence: number
  readonly reason: string
}

export interface OpenedState {
  readonly state: UserState
  readonly sequence: number
  readonly time: number
  readonly form: StateForm
  /** Newer checkpoints that could not be used, each with its reason. */
  readonly refused: readonly RefusedCheckpoint[]
}
