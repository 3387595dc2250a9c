// The estimate of a training run from files, before it starts. Nothing is written.

import { planTraining as plan, type TrainPlan } from '../train/estimate/estimate.ts'
import { openTrainOptions, type TrainFilesOptions } from './train-files.ts'

/**
 * What `train` with these options needs at its peak and how long it takes. Reads data and base and
 * refuses them as `train` does; `out`, `resume`, `overwrite` and `checkpoint` have no effect.
 */
export async function planTraining(options: TrainFilesOptions): Promise<TrainPlan> {
  const { out: _out, resume: _resume, checkpoint: _checkpoint, ...given } = options
  const opened = await openTrainOptions(given)
  try {
    return await plan(opened.options)
  } finally {
    await opened.close()
  }
}
