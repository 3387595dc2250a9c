// What a page shows of a model and its experts: plain values that are replaced, never changed, so
// that a page, or React, sees what is new. Independent of the DOM.

import type { DataCheck } from 'graftlm/web'
import type { ExpertSummary, ModelSource, ModelSummary, TeachProgress } from './protocol.ts'

/** An answer that is being written or is whole. */
export interface ShownAnswer {
  readonly text: string
  readonly isWhole: boolean
  /** By which it can be judged; absent for the base. */
  readonly turn?: number
  readonly tokensPerSecond?: number
  readonly judgement?: 'good' | 'bad' | 'corrected'
}

export interface ShownTurn {
  readonly id: number
  readonly prompt: string
  /** The expert that answered; '': the base with what was taught. */
  readonly expert: string
  readonly base?: ShownAnswer
  readonly answer?: ShownAnswer
}

export interface GraftState {
  readonly phase: 'closed' | 'opening' | 'ready'
  /** Of the model's download. */
  readonly share: number
  readonly model: ModelSummary | undefined
  readonly experts: readonly ExpertSummary[]
  /** The one that answers; '': none, the base with what was taught. */
  readonly expert: string
  readonly turns: readonly ShownTurn[]
  readonly check: DataCheck | undefined
  /** Of the training that runs or ran last. */
  readonly progress: readonly TeachProgress[]
  readonly doing: 'answering' | 'teaching' | undefined
  /** What went wrong last, as a sentence; '' where nothing did. */
  readonly problem: string
  /** What was done last, as a sentence. */
  readonly notice: string
}

export const startState: GraftState = {
  phase: 'closed',
  share: 0,
  model: undefined,
  experts: [],
  expert: '',
  turns: [],
  check: undefined,
  progress: [],
  doing: undefined,
  problem: '',
  notice: '',
}

export interface GraftStoreOptions {
  readonly source: ModelSource
  /** Whether the base also answers. Default: false. */
  readonly sideBySide?: boolean
  /** Tokens of an answer. Default: 64. */
  readonly maxTokens?: number
}
