// The table of schedules, and the warm-up that all of them share.

import { OptionError } from '../../base/errors.ts'
import { constant } from './constant.ts'
import { cosine } from './cosine.ts'
import { linear } from './linear.ts'
import type { Schedule } from './schedule.ts'

export const schedules: ReadonlyMap<string, Schedule> = new Map([constant, linear, cosine].map((row) => [row.name, row]))

export function scheduleNamed(name: string): Schedule {
  const schedule = schedules.get(name)
  if (!schedule) throw new OptionError(`There is no schedule "${name}". There are: ${[...schedules.keys()].join(', ')}.`)
  return schedule
}

/**
 * The factor of step `step`, counted from 1, of `steps`: rises in a straight line during the warm-up, then follows the schedule.
 * As transformers' get_*_schedule_with_warmup, whose first step therefore has the factor 0 when there is a warm-up.
 */
export function learningRateFactor(schedule: Schedule, step: number, steps: number, warmupSteps: number): number {
  const done = step - 1
  if (done < warmupSteps) return done / warmupSteps
  return schedule.factor((done - warmupSteps) / Math.max(1, steps - warmupSteps))
}
