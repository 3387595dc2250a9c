// How long a data-parallel step takes on several machines, by arithmetic over measured parts.

export interface TrainingOptions {
  /** Seconds that one machine computes a step. */
  readonly computeSeconds: number
  /** Of the gradients: 4 bytes a number. */
  readonly bytes: number
  readonly bitsPerSecond: number
  /** Seconds of calls of a meeting. */
  readonly callSeconds: number
}

/**
 * compute / N + 2·(N−1)/N · bytes / bandwidth + calls: each machine sends and receives all chunks but
 * its own, twice (reduce-scatter, all-gather).
 */
export function computeStepSeconds(machines: number, options: TrainingOptions): number {
  const { computeSeconds, bytes, bitsPerSecond, callSeconds } = options
  if (machines === 1) return computeSeconds
  const moved = (2 * (machines - 1) * bytes * 8) / machines
  return computeSeconds / machines + moved / bitsPerSecond + callSeconds
}
