// Estimates a router's reward from the log of another router: inverse propensity scores, their
// normalised form, and the doubly robust estimate.

import { bootstrap, type ConfidenceInterval } from '../../eval/statistics.ts'

/** One logged decision and how likely the judged router is to make each choice there. */
export interface LoggedChoice {
  /** What was chosen; undefined: the base. */
  readonly choice: string | undefined
  /** The probability with which the logging router chose it, above 0. */
  readonly propensity: number
  readonly reward: number
  /** The judged router's probabilities of choices; those not named have none. */
  readonly target: ReadonlyMap<string | undefined, number>
}

export interface OffPolicyEstimate extends ConfidenceInterval {
  readonly value: number
}

export interface OffPolicyReport {
  readonly rows: number
  /** Mean reward of what was chosen. */
  readonly logged: OffPolicyEstimate
  /** (1/n)·Σ π/μ·r: unbiased, of large variance where π and μ differ. */
  readonly ips: OffPolicyEstimate
  /** Σ w·r / Σ w: slightly biased, bounded by the rewards. */
  readonly snips: OffPolicyEstimate
  /** (1/n)·Σ [Σ_a π(a)·q(a) + w·(r − q(a_logged))], q each choice's mean reward. */
  readonly doublyRobust: OffPolicyEstimate
  /** (Σ w)² / Σ w²: how many rows the estimate rests on. */
  readonly effectiveRows: number
  /** Rows in which the judged router may choose what was chosen. */
  readonly matched: number
}

/** Weights above are cut: it bounds the variance at the price of some bias. */
const mostWeight = 100
/** Rows of the mean reward that every choice's own is pulled to. */
const priorRows = 5

/** Mean reward of each choice, pulled to the mean of all where there are few rows. */
function fitRewards(rows: readonly LoggedChoice[]): (choice: string | undefined) => number {
  const total = rows.reduce((sum, { reward }) => sum + reward, 0) / rows.length
  const sums = new Map<string | undefined, { sum: number; count: number }>()
  for (const { choice, reward } of rows) {
    const own = sums.get(choice) ?? { sum: 0, count: 0 }
    sums.set(choice, { sum: own.sum + reward, count: own.count + 1 })
  }
  return (choice) => {
    const { sum, count } = sums.get(choice) ?? { sum: 0, count: 0 }
    return (sum + priorRows * total) / (count + priorRows)
  }
}

/**
 * All three estimates with 95 % bootstrap intervals. Dudík, Langford, Li 2011, "Doubly Robust
 * Policy Evaluation and Learning"; Swaminathan and Joachims 2015 for the normalised one. undefined
 * without rows.
 */
export function estimateOffPolicy(
  rows: readonly LoggedChoice[],
  seed: number,
): OffPolicyReport | undefined {
  if (rows.length === 0) return undefined
  const guess = fitRewards(rows)
  const weights = rows.map(({ choice, propensity, target }) =>
    Math.min(mostWeight, (target.get(choice) ?? 0) / propensity),
  )
  const direct = rows.map(({ target }) =>
    [...target].reduce((sum, [choice, share]) => sum + share * guess(choice), 0),
  )
  const estimate = (statistic: (drawn: Uint32Array) => number): OffPolicyEstimate => {
    const { low, high } = bootstrap(rows.length, seed, statistic)
    return { value: statistic(Uint32Array.from(rows.keys())), low, high }
  }
  const average = (valueOf: (i: number) => number) => (drawn: Uint32Array) =>
    drawn.reduce((sum, i) => sum + valueOf(i), 0) / drawn.length
  const weightSum = weights.reduce((sum, weight) => sum + weight, 0)
  const squareSum = weights.reduce((sum, weight) => sum + weight * weight, 0)
  return {
    rows: rows.length,
    logged: estimate(average((i) => rows[i]!.reward)),
    ips: estimate(average((i) => weights[i]! * rows[i]!.reward)),
    snips: estimate((drawn) => {
      const sum = drawn.reduce((total, i) => total + weights[i]!, 0)
      const earned = drawn.reduce((total, i) => total + weights[i]! * rows[i]!.reward, 0)
      return sum === 0 ? 0 : earned / sum
    }),
    doublyRobust: estimate(
      average((i) => direct[i]! + weights[i]! * (rows[i]!.reward - guess(rows[i]!.choice))),
    ),
    effectiveRows: squareSum === 0 ? 0 : weightSum ** 2 / squareSum,
    matched: weights.filter((weight) => weight > 0).length,
  }
}
