// Statistics of a user, and warnings that follow from them. Reads only.

import { truncateProduct } from '../../base/linalg/low-rank.ts'
import { createMatrix } from '../../base/linalg/matrix.ts'
import { computeVariance } from '../../micro/reward.ts'
import type { HeadTier } from '../tiers/head-tier.ts'
import { type LearnerUser, estimateUserBytes } from './user.ts'
import type { TierStatistics } from '../turns/reward.ts'

export interface UserStatistics {
  /** Signals received, their mean quality and its variance. */
  readonly signals: number
  readonly meanQuality: number
  readonly qualityVariance: number
  /** Mean reward that an answer's reward is compared with. */
  readonly baseline: number
  readonly tiers: Readonly<Record<string, TierStatistics>>
  /** Over the signals that had them; undefined if none did. */
  readonly meanContextTokens: number | undefined
  readonly meanLatencyRatio: number | undefined
  /** Turns learned, answers given, turns kept for the next training, entries of the memory. */
  readonly learned: number
  readonly answers: number
  readonly keptRows: number
  readonly pairs: number
  /**
   * Losses of right completions before each was learned, nats per token: mean of the first ten, and
   * running mean.
   */
  readonly firstLoss: number
  readonly recentLoss: number
  /** Factor of every step: halved at each rollback for the canaries. */
  readonly trust: number
  readonly rollbacks: number
  readonly versions: number
  readonly version: number
  /** Approximate bytes in memory. */
  readonly sizeBytes: number
}

export function computeStatistics(user: LearnerUser): UserStatistics {
  const { record, guard, versions, current, rows, learned, count, taught, tiers } = user
  const { contextTokens, latencyRatio } = record
  return {
    signals: record.count,
    meanQuality: record.mean,
    qualityVariance: computeVariance(record),
    baseline: record.baseline,
    tiers: structuredClone(record.tiers),
    meanContextTokens: contextTokens.count > 0 ? contextTokens.mean : undefined,
    meanLatencyRatio: latencyRatio.count > 0 ? latencyRatio.mean : undefined,
    learned,
    answers: count - taught,
    keptRows: rows.length,
    pairs: tiers.memory?.count ?? 0,
    firstLoss: record.firstLoss,
    recentLoss: record.recentLoss,
    trust: guard.stepScale,
    rollbacks: guard.rollbacks,
    versions: versions.length,
    version: current,
    sizeBytes: estimateUserBytes(user),
  }
}

export interface LearnerWarning {
  readonly code:
    'one-sided-feedback' | 'rate-too-small' | 'rank-too-large' | 'rank-too-small' | 'canaries-held'
  readonly message: string
}

const minSamples = 20 // signals or steps
const formatNumber = (value: number): string => String(Number(value.toPrecision(2)))
// Relative steps of hidden states, and the share of the first loss above which they are too small.
const tooSmallSteps = [
  { move: 1e-4, loss: 0.98 },
  { move: 1e-6, loss: 0.5 },
]

/** Warnings that follow from a user's statistics; each says what to do. */
export function listWarnings(user: LearnerUser): LearnerWarning[] {
  return [...listFeedbackWarnings(user), ...listFastTierWarnings(user)]
}

function* listFeedbackWarnings({
  record: { count, mean },
  guard: { rollbacks, stepScale },
}: LearnerUser): Generator<LearnerWarning> {
  if (count >= minSamples && !(mean >= 0.4 && mean <= 0.9)) {
    const message = `The mean quality of ${count} signals is ${formatNumber(mean)}, outside 0.4 to 0.9: nearly all feedback is the same, so good and bad answers hardly differ. Collect both kinds of feedback, or set normalizeQuality.`
    yield { code: 'one-sided-feedback', message }
  }
  if (rollbacks > 0 && stepScale < 0.5) {
    const message = `Canaries rolled the tiers back ${rollbacks} times, and steps are scaled by ${formatNumber(stepScale)}, because what this user teaches harms the canaries. Consolidate by training, which keeps more; check the feedback, and forget the user if it is hostile.`
    yield { code: 'canaries-held', message }
  }
}

function* listFastTierWarnings({
  tiers: { fast },
  record,
}: LearnerUser): Generator<LearnerWarning> {
  if (!fast || fast.steps < minSamples) return
  const { firstLoss, recentLoss } = record
  if (
    tooSmallSteps.some(
      ({ move, loss }) =>
        fast.lastRelativeStep < move && (firstLoss === 0 || recentLoss > loss * firstLoss),
    )
  ) {
    const message = `The last step moved hidden states by ${formatNumber(fast.lastRelativeStep)} of their length, and the loss has hardly fallen: the fast tier's learningRate of ${fast.learningRate} is too small. Try ten times as much.`
    yield { code: 'rate-too-small', message }
  }
  const needed = computeNeededRank(fast)
  if (fast.rank > 2 && 2 * needed < fast.rank) {
    const message = `${100 * energy} % of what the fast tier learned is in ${needed} directions of its ${fast.rank}; rank ${needed} would hold it with less memory and time.`
    yield { code: 'rank-too-large', message }
  }
  if (
    fast.rank < 16 &&
    needed === fast.rank &&
    firstLoss > 0 &&
    recentLoss > 0.5 * firstLoss &&
    fast.lastRelativeStep < 0.01
  ) {
    const message = `All of the fast tier's rank ${fast.rank} is in use, and the loss is still ${formatNumber(recentLoss / firstLoss)} of what it was at first; try rank ${Math.min(16, 2 * fast.rank)}.`
    yield { code: 'rank-too-small', message }
  }
}

const energy = 0.999

/** How many directions hold 99.9 % of Σσ² of B·A. */
const computeNeededRank = ({ A, B, rank, width }: HeadTier): number =>
  truncateProduct(createMatrix(width, rank, B.data), createMatrix(rank, width, A.data), { energy })
    .b.columns
