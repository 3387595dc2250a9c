// The events of a run over vectors.

import type { Adapter } from '../../adapters/adapter.ts'
import type { Snapshot } from '../events.ts'
import type { History } from '../history.ts'

export type StandaloneEvent =
  | {
      readonly type: 'data-ready'
      readonly examples: number
      /** Examples with a quality above 0; nothing is learned from the others. */
      readonly used: number
      readonly validation: number
      readonly steps: number
      readonly trainableParameters: number
      /** Steps that were done before, where the run resumes from a checkpoint. */
      readonly resumedAt: number
      /** Checkpoints that were found and refused, each with its reason. */
      readonly refusedCheckpoints: readonly string[]
    }
  | {
      readonly type: 'step-end'
      readonly step: number
      readonly steps: number
      readonly epoch: number
      /** Σ quality·‖y − target‖²/D over the step's examples, by the sum of their qualities. */
      readonly loss: number
      readonly learningRate: number
      /** Before clipping. */
      readonly gradientNorm: number
      readonly examplesPerSecond: number
      readonly secondsLeft: number
    }
  | {
      readonly type: 'validation-end'
      readonly step: number
      readonly loss: number
      readonly isBest: boolean
    }
  | { readonly type: 'checkpoint-saved'; readonly step: number; readonly path: string }
  | {
      readonly type: 'train-end'
      /** 'stopped': by the signal; 'early-stopped': out of patience. */
      readonly reason: 'finished' | 'stopped' | 'early-stopped'
      /** The one with the lowest validation loss; the last one if nothing was validated. */
      readonly adapter: Adapter
      readonly best: Snapshot
      readonly last: Snapshot
      readonly history: History
    }
