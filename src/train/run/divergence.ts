// Detects divergence: a loss that stays high. A single bad batch does not count.

interface Loss {
  readonly loss: number
}

const window = 5 // number of steps in the median
const leastStart = 0.1 // nats: a run that begins near zero may rise to one nat before that counts
const lostSteps = 10 // steps above chance after which it is not just an overshoot at the beginning
const farBelow = 0.9
// a model that gives every token the same probability has the loss of chance up to rounding
const nearly = 0.999

function computeMedian(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** Bounds of a loss that has not diverged. */
export interface LossBounds {
  /** The loss diverged if it exceeds its start by this factor; 0: no check. */
  readonly factor: number
  /**
   * The loss of a uniform prediction, ln V. A run that began well below it and stays there has
   * destroyed the model: its gradients are zero.
   */
  readonly chance?: number
}

/** The start: the lower of the first loss and the median of the first five. */
const computeStartLoss = (steps: readonly Loss[]): number =>
  Math.min(steps[0]!.loss, computeMedian(steps.slice(0, window).map(({ loss }) => loss)))

/** A run that begins near chance may go above it for a while; one that begins far below may not. */
const canLoseAll = (steps: readonly Loss[], chance: number | undefined): chance is number =>
  chance !== undefined && computeStartLoss(steps) < farBelow * chance

/**
 * The loss above which a step is suspect: `factor` times the start, or chance where the run began
 * far below it.
 */
export function computeLossLimit(steps: readonly Loss[], { factor, chance }: LossBounds): number {
  if (factor === 0 || steps.length === 0) return Infinity
  const limit = factor * Math.max(leastStart, computeStartLoss(steps))
  return canLoseAll(steps, chance) ? Math.min(limit, nearly * chance) : limit
}

/**
 * The problem of the run as text; `next` is its newest loss. The median of the last five losses is
 * above `factor` times the start, or each of the last ten is at least that of a uniform prediction.
 * Undefined before the third step.
 */
export function findDivergence(
  steps: readonly Loss[],
  next: number,
  { factor, chance }: LossBounds,
): string | undefined {
  if (factor === 0 || steps.length < 2) return undefined
  const limit = computeLossLimit(steps, { factor })
  const shown = next.toPrecision(4)
  const last = (count: number): number[] => [
    ...steps.slice(1 - count).map(({ loss }) => loss),
    next,
  ]
  if (computeMedian(last(window)) > limit)
    return `the loss is ${shown} and stays above ${limit.toPrecision(4)}, ${factor} times its start`
  const isLost =
    canLoseAll(steps, chance) &&
    steps.length >= lostSteps &&
    last(lostSteps).every((loss) => loss >= nearly * chance)
  return isLost
    ? `the loss is ${shown} and has stayed at or above ${chance.toPrecision(4)} for ${lostSteps} steps, as if the model knew nothing`
    : undefined
}
