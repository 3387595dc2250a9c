// The reward of an answer from quality, rating and latency, its advantage over the user's running
// baseline, and the statistics of the user's answers. The formulas, the latency discount among
// them, are micro/reward.ts's; tiers of latency are added here. Takes microseconds.

import { isAllFinite } from '../../base/finite.ts'
import { OptionError } from '../../base/errors.ts'
import {
  checkOptions,
  createField,
  flag,
  number,
  type OptionFields,
  oneOf,
} from '../../base/schema.ts'
import {
  addQuality,
  computeAdvantage,
  computeBaseline,
  computeRateDivisor,
  discountByLatency,
  type LossStatistics,
  type QualityStatistics,
} from '../../micro/reward.ts'

export interface LearningSignal {
  /** 0 to 1. */
  readonly quality?: number
  /** The user's rating; counts as quality 1 or 0 where no quality is given. */
  readonly feedback?: 'up' | 'down'
  /** Time taken / target time. Default 1. At twice the target an answer is worth nothing. */
  readonly latencyRatio?: number
  /** Which model or tier answered, at most 64 characters; kept with the statistics. */
  readonly tier?: string
  readonly contextTokens?: number
  /**
   * The question as a vector, always of the same length: a question similar to the last ones is
   * learned with a smaller step, a new one with a larger (novelty.ts).
   */
  readonly queryEmbedding?: Float32Array
}

export interface RewardOptions {
  /**
   * Advantages in units of the qualities' standard deviation (z-scores), so that a user who gives
   * only 0.7 or 0.8 is learned from as well. Default false.
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

/** Statistics of a user's answers; plain numbers, saved with the user. Losses: nats per token. */
export interface RewardRecord extends QualityStatistics, LossStatistics {
  /** Running mean of rewards. */
  baseline: number
  /** By name of the tier that answered. */
  tiers: Record<string, TierStatistics>
  /** Means over the signals that had them. */
  contextTokens: { count: number; mean: number }
  latencyRatio: { count: number; mean: number }
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

const resolveQuality = ({ quality, feedback }: LearningSignal): number | undefined =>
  quality ?? (feedback === 'up' ? 1 : feedback === 'down' ? 0 : undefined)

const signalFields: OptionFields<LearningSignal> = {
  quality: number({ from: 0, to: 1 }),
  feedback: oneOf(['up', 'down']),
  latencyRatio: number({ from: 0 }),
  tier: createField<string>(
    `a string of at most ${longestTier} characters`,
    { type: 'string', maxLength: longestTier },
    (value) => typeof value === 'string' && value.length <= longestTier,
  ),
  contextTokens: number({ from: 0 }),
  queryEmbedding: createField<Float32Array>(
    'a Float32Array that is not empty, all values finite',
    {},
    (value) => value instanceof Float32Array && value.length > 0 && isAllFinite(value),
  ),
}

/** Rows of the learner's options. */
export const rewardFields: OptionFields<RewardOptions> = {
  normalizeQuality: flag({ default: false }),
  qualityRate: oneOf(['fixed', 'variance'], { default: 'fixed' }),
}

/**
 * reward = quality · max(0, 2 − latencyRatio). Throws one OptionError that names every unknown
 * field and every wrong value.
 */
export function computeReward(signal: LearningSignal): number {
  checkOptions('Learning signal', signal, signalFields)
  const quality = resolveQuality(signal)
  if (quality === undefined)
    throw new OptionError('Learning signal: got neither a quality nor feedback, expected one.')
  return discountByLatency(quality, signal.latencyRatio ?? 1)
}

/**
 * The advantage of an answer over the baseline; updates the record. The deviation that normalises
 * includes this quality. `rate` multiplies the step: below 1 where qualities vary and `qualityRate`
 * is 'variance'. Throws what computeReward throws; then the record is unchanged.
 */
export function scoreSignal(
  record: RewardRecord,
  signal: LearningSignal,
  { normalizeQuality = false, qualityRate = 'fixed' }: RewardOptions = {},
): { reward: number; advantage: number; rate: number } {
  const reward = computeReward(signal)
  const difference = reward - record.baseline
  addQuality(record, resolveQuality(signal)!)
  record.baseline = computeBaseline(record.baseline, reward, keep)
  addToMean(record.contextTokens, signal.contextTokens)
  addToMean(record.latencyRatio, signal.latencyRatio)
  if (signal.tier !== undefined) addTierQuality(record.tiers, signal.tier, resolveQuality(signal)!)
  return {
    reward,
    advantage: computeAdvantage(difference, record, normalizeQuality),
    rate: qualityRate === 'variance' ? 1 / computeRateDivisor(record) : 1,
  }
}

/**
 * The weight of each token of an answer: the advantage; where it is below zero, advantage · min(1,
 * p/(1 − p)), the gradient of unlikelihood (Welleck et al. 2019, arXiv:1908.04319), because −log p
 * itself is steepest at tokens that were improbable, and unbounded: after a hundred random ratings
 * it made every answer less likely by 5 to 13 nats, unlikelihood by less than one. `losses`: −log
 * p.
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
  const isKnown = Object.hasOwn(tiers, tier)
  const name = isKnown || Object.keys(tiers).length < mostTiers ? tier : 'others'
  if (!isKnown && !Object.hasOwn(tiers, name))
    // defined, not assigned, because a tier may be called __proto__
    Object.defineProperty(tiers, name, {
      value: { count: 0, meanQuality: 0 },
      enumerable: true,
      configurable: true,
      writable: true,
    })
  const known = tiers[name]!
  known.count++
  known.meanQuality += (quality - known.meanQuality) / known.count
}
