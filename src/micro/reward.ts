// Statistics of rewards for REINFORCE (Williams 1992), shared by MicroLoRA and the learner: mean
// and variance of qualities (Welford), a running baseline, advantages, and losses at first and
// lately. Plain values. Independent of: weights, users.

export interface QualityStatistics {
  /** Qualities seen. */
  count: number
  mean: number
  /** Sum of squared distances from the mean. */
  squares: number
}

export interface LossStatistics {
  /** Losses seen, the mean of the first ten, and the running mean. */
  losses: number
  firstLoss: number
  recentLoss: number
}

export interface RewardState extends QualityStatistics, LossStatistics {
  /** Running mean of rewards; undefined before the first. */
  baseline: number | undefined
}

export const createRewardState = (): RewardState => ({
  count: 0,
  mean: 0,
  squares: 0,
  baseline: undefined,
  losses: 0,
  firstLoss: 0,
  recentLoss: 0,
})

/** A quality given in `latencyRatio` times the target time; at twice the target it is worth 0. */
export const discountByLatency = (quality: number, latencyRatio: number): number =>
  quality * Math.max(0, 2 - latencyRatio)

export const computeVariance = ({ count, squares }: QualityStatistics): number =>
  count > 1 ? squares / (count - 1) : 0

export function addQuality(statistics: QualityStatistics, quality: number): void {
  statistics.count++
  const difference = quality - statistics.mean
  statistics.mean += difference / statistics.count
  statistics.squares += difference * (quality - statistics.mean)
}

const firstLosses = 10
const lossKeep = 0.95

/**
 * The running mean is the plain mean of the first twenty losses, then 0.95 of itself plus 0.05 of
 * the new one. A running mean that started at the first loss would still be a third of it after
 * twenty.
 */
export function addLoss(statistics: LossStatistics, loss: number): void {
  statistics.losses++
  const { losses } = statistics
  if (losses <= firstLosses) statistics.firstLoss += (loss - statistics.firstLoss) / losses
  statistics.recentLoss += (loss - statistics.recentLoss) * Math.max(1 / losses, 1 - lossKeep)
}

/** The running mean of rewards after one more; `keep`: the past's share. */
export const computeBaseline = (baseline: number, reward: number, keep: number): number =>
  keep * baseline + (1 - keep) * reward

/** The least standard deviation of qualities by which advantages are divided. */
const minDeviation = 0.05

/**
 * Reward − baseline; normalised in units of the qualities' standard deviation, once there are two
 * qualities.
 */
export const computeAdvantage = (
  difference: number,
  statistics: QualityStatistics,
  normalize: boolean,
): number =>
  normalize && statistics.count > 1
    ? difference / Math.max(minDeviation, Math.sqrt(computeVariance(statistics)))
    : difference

const varianceWeight = 4

/** What the rate 'variance' divides learning rates by: noisy feedback moves less. */
export const computeRateDivisor = (statistics: QualityStatistics): number =>
  1 + varianceWeight * computeVariance(statistics)

/** The learning rate: with 'variance' noisy feedback moves less, with 'times-variance' more. */
export function scaleRate(
  learningRate: number,
  rate: 'fixed' | 'variance' | 'times-variance',
  statistics: QualityStatistics,
): number {
  if (rate === 'variance') return learningRate / computeRateDivisor(statistics)
  return rate === 'fixed' ? learningRate : learningRate * (1 + computeVariance(statistics))
}
