// Divergence: whether a run's loss has left the region it began in for good. One bad batch is none; a loss that stays high is.

interface Loss {
  readonly loss: number
}

const window = 5 // steps that are looked at together
const leastStart = 0.1 // nats: a run that begins near zero may rise to one nat before that counts

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/**
 * The loss above which a step is suspect: `factor` times the start, which is the lower of the first loss and the median of the first five.
 * A factor of 0 suspects nothing.
 */
export function lossLimit(steps: readonly Loss[], factor: number): number {
  if (factor === 0 || steps.length === 0) return Infinity
  const start = Math.min(steps[0]!.loss, median(steps.slice(0, window).map(({ loss }) => loss)))
  return factor * Math.max(leastStart, start)
}

/** Whether the median of the last five losses, `next` being the newest, is above the limit; nothing is said before the third step. */
export function hasDiverged(steps: readonly Loss[], next: number, factor: number): boolean {
  const recent = [...steps.slice(1 - window).map(({ loss }) => loss), next]
  return recent.length >= 3 && median(recent) > lossLimit(steps, factor)
}
