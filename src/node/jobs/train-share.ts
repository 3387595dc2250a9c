// How a machine is shared between serving and a training job.

import { availableParallelism } from 'node:os'

/**
 * 'background': training gets what serving leaves (lowest priority). 'half': each gets half of the
 * threads, at the same priority.
 */
export type TrainShare = 'background' | 'half'

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
