// The contract of a learning-rate schedule: one file per schedule, one row in schedule-table.ts.
// Independent of losses: it sees only steps.

import { type Fields } from '../../base/schema.ts'

/**
 * The progress of a run. It is counted from the end of the warm-up, except for schedules that have
 * a `riseShare`.
 */
export interface ScheduleProgress {
  /** done/steps: 0 at the first step counted, 1 at the end of the run. */
  readonly progress: number
  /** Steps done, and steps there are. */
  readonly done: number
  readonly steps: number
  readonly warmupSteps: number
}

export interface Schedule<Settings extends object = object> {
  /** 'cosine' */
  readonly name: string
  /** One line for lists. */
  readonly about: string
  readonly options: Fields
  /** Options with defaults filled in; throws one OptionError that lists everything wrong. */
  complete(options: Readonly<Record<string, unknown>>): Settings
  /** The factor of the learning rate. */
  factor(at: ScheduleProgress, settings: Settings): number
  /**
   * Present if the warm-up is part of the schedule: its default share of the steps. `factor` then
   * computes the warm-up too.
   */
  readonly riseShare?: number
}
