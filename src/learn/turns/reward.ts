// What comes back about an answer, and what it is worth: one reward from quality, verdict and time,
// against what this user's answers usually get, and the figures of what a user's answers have got
// so far. Pure arithmetic, in microseconds.

import { isAllFinite } from '../../base/finite.ts'
import { OptionError } from '../../base/errors.ts'
import { addQuality, computeVariance } from '../../micro/quality.ts'

export interface LearningSignal {
  /** 0 to 1. */
  readonly quality?: number
  /** The user's verdict; counts as quality 1 or 0 where no quality is given. */
  readonly feedback?: 'up' | 'down'
  /** Time taken / time aimed at; 1 unless given. Twice the aim is worth nothing. */
  readonly latencyRatio?: number
  /** Which model or tier answered, at most 64 characters; kept with the statistics. */
  readonly tier?: string
  readonly contextTokens?: number
  /**
   * The question as a vector of any one length: a question like the last ones teaches less, an
   * unlike one more (novelty.ts).
   */
  readonly queryEmbedding?: Float32Array
}

export interface RewardOptions {
  /**
   * Advantages in units of the qualities' standard deviation (z-scores), so that a user who gives
   * 0.7 or 0.8 is heard as well. Default false.
   */
  readonly normalizeQuality?: boolean
  /**
   * 'variance' divides the rate by 1 + 4·variance of the qualities: noisy feedback moves less.
   * Default 'fixed'.
   */
  readonly qualityRate?: 'fixed' | 'variance'
}

export interface TierStatistics {
  count: number
  meanQuality: number
}

/** What a user's answers have got so far; plain numbers, saved with the user. */
export interface RewardRecord {
  /** Qualities: how many, their mean, and the sum of squared distances from it. */
  count: number
  mean: number
  squares: number
  /** Running mean reward: what an answer is measured against. */
  baseline: number
  /** By name of the tier that answered. */
  tiers: Record<string, TierStatistics>
  /** Means over the signals that had them. */
  contextTokens: { count: number; mean: number }
  latencyRatio: { count: number; mean: number }
  /**
   * Losses of completions that were taught, before each: how many, the mean of the first ten, the
   * running mean. Nats a token.
   */
  losses: number
  firstLoss: number
  recentLoss: number
}

export const createRewardRecord = (): RewardRecord => ({
  count: 0,
  mean: 0,
  squares: 0,
  baseline: 0.5,
  tiers: {},
  contextTokens: { count: 0, mean: 0 },
  latencyRatio: { count: 0, mean: 0 },
  losses: 0,
  firstLoss: 0,
  recentLoss: 0,
})

const keep = 0.9 // of the baseline: the last ten answers or so
const longestTier = 64
const mostTiers = 16 // by name; more go together as "others"
const minDeviation = 0.05 // of qualities that is believed
const varianceWeight = 4

const isCount = (value: number): boolean => value >= 0 && Number.isFinite(value)
const resolveQuality = ({ quality, feedback }: LearningSignal): number | undefined =>
  quality ?? (feedback === 'up' ? 1 : feedback === 'down' ? 0 : undefined)

function* listSignalProblems(signal: LearningSignal): Generator<string> {
  const { feedback, latencyRatio = 1, contextTokens = 0, tier = '', queryEmbedding } = signal
  const quality = resolveQuality(signal)
  if (feedback !== undefined && feedback !== 'up' && feedback !== 'down')
    yield `feedback is ${JSON.stringify(feedback)}, expected "up" or "down"`
  else if (quality === undefined) yield 'there is neither a quality nor feedback'
  else if (!(quality >= 0 && quality <= 1))
    yield `quality is ${quality}, expected a number from 0 to 1`
  if (!isCount(latencyRatio)) yield `latencyRatio is ${latencyRatio}, expected a number ≥ 0`
  if (!isCount(contextTokens)) yield `contextTokens is ${contextTokens}, expected a number ≥ 0`
  if (typeof tier !== 'string' || tier.length > longestTier)
    yield `tier is no text of at most ${longestTier} characters`
  if (queryEmbedding && !(queryEmbedding.length > 0 && isAllFinite(queryEmbedding)))
    yield 'queryEmbedding is empty or has a number that is NaN or infinite'
}

/**
 * reward = quality · max(0, 2 − latencyRatio). Throws OptionError that names every value out of
 * range.
 */
export function computeReward(signal: LearningSignal): number {
  const problems = [...listSignalProblems(signal)]
  if (problems.length > 0)
    throw new OptionError(`This signal cannot be learned from: ${problems.join('; ')}.`)
  return resolveQuality(signal)! * Math.max(0, 2 - (signal.latencyRatio ?? 1))
}

/**
 * How much better than usual, and the record moved on. `rate` multiplies the step: below 1 where
 * qualities vary and that is asked for. Throws what rewardOf throws, and the record is as it was
 * then.
 */
export function scoreSignal(
  record: RewardRecord,
  signal: LearningSignal,
  { normalizeQuality = false, qualityRate = 'fixed' }: RewardOptions = {},
): { reward: number; advantage: number; rate: number } {
  const reward = computeReward(signal)
  const difference = reward - record.baseline
  addQuality(record, resolveQuality(signal)!)
  record.baseline = keep * record.baseline + (1 - keep) * reward
  addToMean(record.contextTokens, signal.contextTokens)
  addToMean(record.latencyRatio, signal.latencyRatio)
  if (signal.tier !== undefined) addTierQuality(record.tiers, signal.tier, resolveQuality(signal)!)
  const variance = computeVariance(record)
  const deviation =
    normalizeQuality && record.count > 1 ? Math.max(minDeviation, Math.sqrt(variance)) : 1
  return {
    reward,
    advantage: difference / deviation,
    rate: qualityRate === 'variance' ? 1 / (1 + varianceWeight * variance) : 1,
  }
}

const firstLosses = 10
const lossKeep = 0.95

/** Notes the loss of a completion from before it was learned. */
export function recordLoss(record: RewardRecord, loss: number): void {
  record.losses++
  if (record.losses <= firstLosses) record.firstLoss += (loss - record.firstLoss) / record.losses
  record.recentLoss += (loss - record.recentLoss) * Math.max(1 / record.losses, 1 - lossKeep)
}

/**
 * What each token of an answer counts: the advantage, and below zero only as far as the model meant
 * the token, advantage · min(1, p/(1 − p)), which is the gradient of unlikelihood (Welleck et al.
 * 2019, arXiv:1908.04319). −log p itself pulls hardest at tokens that were an accident, and has no
 * end: after a hundred verdicts at random every answer had become less likely by 5 to 13 nats, with
 * this by less than one. `losses`: −log p.
 */
export const computeTokenWeights = (advantage: number, losses: Float32Array): number[] =>
  Array.from(losses, (loss) =>
    advantage > 0 ? advantage : advantage * Math.min(1, 1 / Math.expm1(Math.max(0, loss))),
  )

function addToMean(figure: { count: number; mean: number }, value: number | undefined): void {
  if (value === undefined) return
  figure.count++
  figure.mean += (value - figure.mean) / figure.count
}

function addTierQuality(tiers: RewardRecord['tiers'], tier: string, quality: number): void {
  const name = Object.hasOwn(tiers, tier) || Object.keys(tiers).length < mostTiers ? tier : 'others'
  const known = Object.hasOwn(tiers, name) ? tiers[name]! : { count: 0, meanQuality: 0 }
  known.count++
  known.meanQuality += (quality - known.meanQuality) / known.count
  // A tier may be called __proto__.
  Object.defineProperty(tiers, name, {
    value: known,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}
