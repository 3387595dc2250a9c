// Measures a run's speed and estimates the time left. Time is an argument.

const recentSteps = 20

/**
 * Measures steps: tokens per second over the last 20 steps, and the time left by the mean of all
 * steps.
 */
export function createSpeedometer(now: () => number) {
  const recent: { tokens: number; milliseconds: number }[] = []
  const started = now()
  let steps = 0
  return {
    async measure<Result>(tokens: number, work: () => Promise<Result>): Promise<Result> {
      const before = now()
      const result = await work()
      recent.push({ tokens, milliseconds: now() - before })
      if (recent.length > recentSteps) recent.shift()
      steps++
      return result
    },
    /** Runs work whose time belongs to the last measured step. */
    more<Result>(work: () => Result): Result {
      const before = now()
      const result = work()
      const last = recent.at(-1)
      if (last) last.milliseconds += now() - before
      return result
    },
    tokensPerSecond(): number {
      const milliseconds = recent.reduce((sum, step) => sum + step.milliseconds, 0)
      return milliseconds > 0
        ? (recent.reduce((sum, step) => sum + step.tokens, 0) / milliseconds) * 1000
        : 0
    },
    /** Includes the time of validation and saving. */
    secondsLeft: (stepsLeft: number): number =>
      steps > 0 ? ((now() - started) / steps / 1000) * stepsLeft : 0,
  }
}

export type Speedometer = ReturnType<typeof createSpeedometer>
