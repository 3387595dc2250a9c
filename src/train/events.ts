// The events of a training run.

import type { Adapter } from '../adapters/adapter.ts'
import type { DataSummary } from './data/row-log.ts'
import type { EwcState } from './ewc/state.ts'
import type { History } from './history.ts'

export interface DataCounts {
  /** Rows that were read, and sequences made of them. */
  readonly examples: number
  readonly rows: number
  /** Rows cut to maxTokens, and rows left out because nothing to learn was left of them. */
  readonly cut: number
  readonly dropped: number
  readonly tokens: number
  readonly scored: number
  /** Counts of what is not used; absent for rows that were given as tokens. */
  readonly summary?: DataSummary
}

/** An adapter as it was at one step. */
export interface Snapshot {
  readonly step: number
  /** Validation loss where there is validation data, else the loss of the step. */
  readonly loss: number
  readonly adapter: Adapter
}

export type Measures = Readonly<Record<string, number>>

export type TrainEvent =
  | {
      readonly type: 'data-ready'
      readonly data: DataCounts
      readonly validation?: DataCounts
      /** Share of the positions in the first epoch's batches that hold a token. */
      readonly fill: number
      /**
       * Length of the prefix that all rows share, which is computed once for each packed sequence.
       */
      readonly sharedTokens: number
      readonly steps: number
      /** Of the highest step. */
      readonly learningRate: number
      /** Steps that were done before, where the run resumes from a checkpoint. */
      readonly resumedAt: number
      /**
       * The checkpoint's date, which chat templates print instead of the given one; absent if both
       * are the same day.
       */
      readonly checkpointDate?: Date
      /** Checkpoints that were found and refused, each with its reason. */
      readonly refusedCheckpoints: readonly string[]
      readonly trainableParameters: number
      /** With EWC: how many earlier tasks are protected. */
      readonly protectedTasks?: number
    }
  | {
      /**
       * Before the first step: progress of precomputing the reference's or teacher's outputs, in
       * rows.
       */
      readonly type: 'rows-asked'
      readonly of: 'reference' | 'teacher'
      readonly done: number
      readonly count: number
    }
  | {
      readonly type: 'step-end'
      readonly step: number
      readonly steps: number
      readonly epoch: number
      /** Mean loss of the step's scored tokens. */
      readonly loss: number
      readonly learningRate: number
      /** Before clipping. */
      readonly gradientNorm: number
      /**
       * Further measures of the loss: accuracy and margin for pairs, the divergence for
       * distillation.
       */
      readonly measures?: Measures
      readonly tokensPerSecond: number
      readonly secondsLeft: number
    }
  | {
      readonly type: 'validation-end'
      readonly step: number
      readonly loss: number
      readonly measures?: Measures
      readonly isBest: boolean
    }
  | {
      /** After the last step, with EWC: progress of measuring the importance, in rows. */
      readonly type: 'importance-measured'
      readonly done: number
      readonly count: number
    }
  | { readonly type: 'checkpoint-saved'; readonly step: number; readonly path: string }
  | {
      /**
       * A DoRA run diverged and continues as LoRA (onDivergence: 'lora'), without its magnitudes.
       */
      readonly type: 'kind-changed'
      readonly kind: 'lora'
      /** The step that went wrong. */
      readonly step: number
      /** The last good step, after which it continues; 0: it starts again. */
      readonly goesOnAfter: number
      readonly reason: string
    }
  | {
      readonly type: 'train-end'
      /**
       * 'early-stopped': the patience ran out, and the run has ended. 'stopped': by the signal; the
       * checkpoint has everything to resume.
       */
      readonly reason: 'finished' | 'early-stopped' | 'stopped'
      /** The best one. */
      readonly adapter: Adapter
      readonly best: Snapshot
      readonly last: Snapshot
      readonly history: History
      /** The state that protects this task in later ones, if EWC is on and the run has finished. */
      readonly ewc?: EwcState
    }
