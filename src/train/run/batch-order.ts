// The order of a whole run: which batches make up which step. It depends on the data's lengths and
// the seed alone, so a step number determines it.

import type { EncodedSequence } from '../data/encode.ts'
import { type BatchPlan, planEpoch, type PackingOptions } from '../batches/packing.ts'

export interface RunPlanOptions extends Omit<PackingOptions, 'epoch'> {
  readonly epochs: number
  /** Total steps, over as many epochs as they need; undefined: as many as the epochs have. */
  readonly steps?: number | undefined
  /** Batches whose gradients are added up for one step. */
  readonly accumulation: number
}

export interface RunPlan {
  readonly steps: number
  /** The batches of a step, counted from 1. An epoch's last step may have fewer. */
  batchesOf(step: number): readonly BatchPlan[]
  /** Counted from 1. */
  epochOf(step: number): number
  endsEpoch(step: number): boolean
}

/** Plans all epochs in advance, so that the number of steps is known; stores only row numbers. */
export function planRun(rows: readonly EncodedSequence[], options: RunPlanOptions): RunPlan {
  const { epochs, accumulation, steps: limit } = options
  const steps: { batches: BatchPlan[]; epoch: number; last: boolean }[] = []
  for (let epoch = 0; limit === undefined ? epoch < epochs : steps.length < limit; epoch++) {
    const batches = planEpoch(rows, { ...options, epoch })
    for (let start = 0; start < batches.length; start += accumulation) {
      steps.push({
        batches: batches.slice(start, start + accumulation),
        epoch: epoch + 1,
        last: start + accumulation >= batches.length,
      })
    }
  }
  const at = (step: number) => steps[step - 1]!
  return {
    steps: Math.min(steps.length, limit ?? Infinity),
    batchesOf: (step) => at(step).batches,
    epochOf: (step) => at(step).epoch,
    endsEpoch: (step) => at(step).last,
  }
}
