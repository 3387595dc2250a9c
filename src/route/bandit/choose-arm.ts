// How a bandit chooses an arm from estimates, with the exact probability of its choice: LinUCB (Li
// et al. 2010, arXiv:1003.0146) and Thompson sampling (Agrawal and Goyal 2013, arXiv:1209.3352),
// each with a share of choices drawn from the uniform distribution.

import type { Random } from '../../base/random.ts'
import type { ArmEstimate } from './linear-arms.ts'

export const banditMethods = ['linucb', 'thompson'] as const
export type BanditMethod = (typeof banditMethods)[number]

export interface ChoiceSettings {
  readonly method: BanditMethod
  /** LinUCB: deviations that are added to the mean. Thompson: what deviations are multiplied by. */
  readonly exploration: number
  /** Share of choices drawn evenly among all arms. */
  readonly even: number
}

export interface ArmChoice {
  readonly arm: number
  /** The probability that this arm is chosen from these estimates. */
  readonly propensity: number
}

/** `costs`: subtracted from each arm's reward, such as the time to load its expert. */
export function chooseArm(
  estimates: readonly ArmEstimate[],
  costs: readonly number[],
  settings: ChoiceSettings,
  draw: Random,
): ArmChoice {
  const { method, exploration, even } = settings
  const arms = estimates.map(({ mean, deviation }, i) => ({
    mean: mean - costs[i]!,
    deviation: exploration * deviation,
  }))
  const isEven = draw.uniform() < even
  const other = draw.integer(arms.length)
  const preferred =
    method === 'linucb'
      ? findHighest(arms.map(({ mean, deviation }) => mean + deviation))
      : findHighest(arms.map(({ mean, deviation }) => mean + deviation * draw.normal()))
  const arm = isEven ? other : preferred
  const share = method === 'thompson' ? computeBestShare(arms, arm) : arm === preferred ? 1 : 0
  return { arm, propensity: (1 - even) * share + even / arms.length }
}

function findHighest(values: readonly number[]): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}

/** Points of the sum over one arm's normal, and how many deviations it reaches to each side. */
const points = 300
const reach = 7

/**
 * The probability that independent normals have their largest value at `arm`: ∫ φ(u)·Π Φ((m + s·u −
 * m_b)/s_b) du over the other arms b, by the rule of midpoints.
 */
export function computeBestShare(arms: readonly ArmEstimate[], arm: number): number {
  const { mean, deviation } = arms[arm]!
  // An arm whose reach ends below this one's never is the largest: its factor is 1.
  const least = mean - reach * deviation
  const others = arms.filter(
    (other, i) => i !== arm && other.mean + reach * other.deviation >= least,
  )
  if (deviation === 0) return others.reduce((share, other) => share * computeBelow(other, mean), 1)
  const step = (2 * reach) / points
  let sum = 0
  for (let k = 0; k < points; k++) {
    const u = -reach + (k + 0.5) * step
    let share = Math.exp(-0.5 * u * u)
    for (const other of others) {
      share *= computeBelow(other, mean + deviation * u)
      if (share < 1e-18) break
    }
    sum += share
  }
  return Math.min(1, (sum * step) / Math.sqrt(2 * Math.PI))
}

/** The probability that a normal is below a value. */
const computeBelow = ({ mean, deviation }: ArmEstimate, value: number): number =>
  deviation === 0 ? Number(mean < value) : computeNormal((value - mean) / deviation)

/** Φ: Abramowitz and Stegun 26.2.17, right to 8e-8. */
export function computeNormal(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x))
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  const tail = (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * series
  return x >= 0 ? 1 - tail : tail
}
