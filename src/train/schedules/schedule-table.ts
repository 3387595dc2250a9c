// The table of schedules, and the warm-up that they share.

import { OptionError } from '../../base/errors.ts'
import { constant } from './constant.ts'
import { cosineRestarts } from './cosine-restarts.ts'
import { cosine } from './cosine.ts'
import { exponential } from './exponential.ts'
import { linear } from './linear.ts'
import { oneCycle } from './one-cycle.ts'
import { polynomial } from './polynomial.ts'
import type { Schedule } from './schedule.ts'
import { stepDecay } from './step-decay.ts'

export const schedules: ReadonlyMap<string, Schedule> = new Map(
  [constant, linear, cosine, cosineRestarts, exponential, stepDecay, polynomial, oneCycle].map(
    (row) => [row.name, row as Schedule],
  ),
)

export function getSchedule(name: string): Schedule {
  const schedule = schedules.get(name)
  if (!schedule)
    throw new OptionError(
      `There is no schedule "${name}". There are: ${[...schedules.keys()].join(', ')}.`,
    )
  return schedule
}

/** A run's length and how much of it is warm-up. */
export interface RunLength {
  readonly steps: number
  readonly warmupSteps: number
}

/**
 * The factor of step `step`, counted from 1: rises in a straight line during the warm-up, then
 * follows the schedule, whose `settings` are complete. As transformers' get_*_schedule_with_warmup,
 * whose first step therefore has the factor 0 when there is a warm-up.
 */
export function computeLearningRateFactor(
  schedule: Schedule,
  settings: object,
  step: number,
  { steps, warmupSteps }: RunLength,
): number {
  const done = step - 1
  if (schedule.riseShare !== undefined)
    return schedule.factor(
      { done, steps, progress: done / Math.max(1, steps), warmupSteps },
      settings,
    )
  if (done < warmupSteps) return done / warmupSteps
  const counted = { done: done - warmupSteps, steps: Math.max(1, steps - warmupSteps) }
  return schedule.factor(
    { ...counted, progress: counted.done / counted.steps, warmupSteps },
    settings,
  )
}
