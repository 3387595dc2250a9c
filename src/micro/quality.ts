// Running figures about feedback: mean and variance of qualities (Welford), the baseline of
// rewards, losses at first and lately. Plain values.

export interface QualityState {
  /** Qualities heard of. */
  count: number
  mean: number
  /** Sum of squared distances from the mean. */
  squares: number
  /** Running mean of rewards; undefined before the first. */
  baseline: number | undefined
  /** Losses heard of, the mean of the first ten, and the running mean. */
  losses: number
  firstLoss: number
  recentLoss: number
}

export const createQuality = (): QualityState => ({
  count: 0,
  mean: 0,
  squares: 0,
  baseline: undefined,
  losses: 0,
  firstLoss: 0,
  recentLoss: 0,
})

export const computeVariance = ({ count, squares }: QualityState): number =>
  count > 1 ? squares / (count - 1) : 0

export function addQuality(state: QualityState, quality: number): void {
  state.count++
  const difference = quality - state.mean
  state.mean += difference / state.count
  state.squares += difference * (quality - state.mean)
}

const firstLosses = 10
const lossKeep = 0.95

export function trackLoss(state: QualityState, loss: number): void {
  state.losses++
  if (state.losses <= firstLosses) state.firstLoss += (loss - state.firstLoss) / state.losses
  state.recentLoss = state.losses === 1 ? loss : lossKeep * state.recentLoss + (1 - lossKeep) * loss
}

/**
 * How much better than usual: reward − baseline. Before the first reward the usual is 0, and ½ for
 * qualities. Normalised: in units of the qualities' standard deviation, of which 0.05 is the least
 * that is believed.
 */
export function computeQualityAdvantage(
  state: QualityState,
  reward: number,
  isQuality: boolean,
  normalize: boolean,
): number {
  const advantage = reward - (state.baseline ?? (isQuality ? 0.5 : 0))
  return normalize && state.count > 1
    ? advantage / Math.max(Math.sqrt(computeVariance(state)), 0.05)
    : advantage
}

export function addReward(
  state: QualityState,
  reward: number,
  isQuality: boolean,
  keep: number,
): void {
  state.baseline = keep * (state.baseline ?? (isQuality ? 0.5 : 0)) + (1 - keep) * reward
}
