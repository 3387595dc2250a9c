// The contract of a learning-rate schedule: one file per schedule, one row in schedules.ts. It knows steps, never losses.

export interface Schedule {
  /** 'cosine' */
  readonly name: string
  /** What the learning rate is multiplied by. `progress` goes from 0, right after the warm-up, to 1 at the end of the run. */
  factor(progress: number): number
}
