// How a machine is shared between serving and a training job.

import { availableParallelism } from 'node:os'
import { OptionError } from '../../base/errors.ts'
import { oneOf } from '../../base/schema.ts'

/**
 * 'background': training gets what serving leaves (lowest priority). 'half': each gets half of the
 * threads, at the same priority.
 */
export type TrainShare = 'background' | 'half'

export const shareField = oneOf<TrainShare>(['background', 'half'], {
  about:
    'how training shares the machine with serving: background uses idle time, half gives each half of the threads',
})

export interface ShareThreads {
  /** Of the engine. */
  readonly engine: number
  /** Of the job. */
  readonly job: number
  /** Of the job's process, as of os.setPriority. */
  readonly priority: number
}

const lowestPriority = 19

/** How many threads each has. The engine's are set when its model is opened. */
export function planShare(share: TrainShare, cores: number = availableParallelism()): ShareThreads {
  if (share === 'background') return { engine: cores, job: cores, priority: lowestPriority }
  const job = Math.max(1, Math.floor(cores / 2))
  return { engine: Math.max(1, cores - job), job, priority: 0 }
}

/**
 * The threads of the serving or of the training side; undefined: all. Throws OptionError for more
 * than its half.
 */
export function chooseShareThreads(
  share: TrainShare | undefined,
  part: 'engine' | 'job',
  given: number | undefined,
): number | undefined {
  if (share !== 'half') return given
  const half = planShare(share)[part]
  if (given !== undefined && given > half)
    throw new OptionError(
      `threads: got ${given}, expected at most ${half}, because training and serving have half of the threads each; give fewer, or share in the background.`,
    )
  return given ?? half
}
