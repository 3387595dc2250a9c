// Turns of one user: answers that can still be rated, turns kept for consolidation, turns that were
// learned. Types only.

import type { Expert } from '../../adapters/serving/mixture.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import type { Observation } from '../tiers/training-example.ts'
import type { EncodedTurn } from './encode-turn.ts'
import type { LearningSignal } from './reward.ts'
import type { TurnStates } from './turn-states.ts'

/** An answer that can still be rated. */
export interface Turn extends EncodedTurn {
  /**
   * Final hidden states before the answer's tokens under `adapter`; undefined if they were not
   * kept.
   */
  readonly hidden: Float32Array | undefined
  /** The expert that served: the slow tier's adapter, with what a tier on layers had learned. */
  readonly adapter: Expert | undefined
  /** For a tier on layers; only the newest turn keeps them. */
  readonly layerStates?: Pick<TurnStates, 'layerInput' | 'keys'> | undefined
  /** Observations of serving and the tiers they belong to; only the newest turn keeps them. */
  readonly observed?:
    { readonly tiers: TierStack; readonly observations: readonly Observation[] } | undefined
}

/** A turn that the next consolidation trains on. */
export interface KeptTurn extends EncodedTurn {
  /** Of the turn; −1 in states of older layouts. */
  readonly number: number
  /** In nats per token, before the tiers learned the turn. */
  readonly loss: number
}

/** A turn that was learned: as a right answer, or by its signal. */
export interface TurnUpdate {
  /** As `generate` and `learn` number the user's turns. */
  readonly number: number
  readonly turn: Turn
  readonly signal: LearningSignal | undefined
  /** Of a correction: the ids that were answered in its place. */
  readonly replaced?: readonly number[] | undefined
}

/** The turn without what only this process's memory can hold. */
export const dropStates = (turn: Turn): Turn => ({ ...turn, hidden: undefined, adapter: undefined })
