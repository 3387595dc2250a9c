// From scores to a mixture: the best experts share the answer by the softmax of their scores, as
// one exact weighted sum.

import { formatExpertSpec } from '../../adapters/serving/expert-spec.ts'
import type { ExpertScore, RouteDecision } from '../router.ts'

export interface MixSettings {
  /** Experts of a mixture at most. */
  readonly most: number
  /** Experts with a smaller share are left out. */
  readonly least: number
}

export interface MixedExpert {
  readonly name: string
  readonly weight: number
}

/** Digits of a weight: enough for what is heard, few enough that equal requests share a mixture. */
const digits = 2

/**
 * The shares of the best experts among themselves, which is the softmax of their logits; they sum
 * to 1 and have two digits, so that requests with nearly the same shares share one mixture. One
 * expert where the others' shares are too small.
 */
export function mixScores(
  scores: readonly ExpertScore[],
  { most, least }: MixSettings,
): MixedExpert[] {
  const chosen = scores.slice(0, most)
  const total = chosen.reduce((sum, { score }) => sum + score, 0)
  if (total <= 0) return []
  const kept = chosen.filter(({ score }, i) => i === 0 || score / total >= least)
  const own = kept.reduce((sum, { score }) => sum + score, 0)
  const weights = kept.map(({ score }) => Number((score / own).toFixed(digits)))
  // what rounding has lost or added goes to the best one
  const rest = 1 - weights.reduce((sum, weight) => sum + weight, 0)
  weights[0] = Number((weights[0]! + rest).toFixed(digits))
  return kept.flatMap(({ expert }, i) =>
    weights[i]! > 0 ? [{ name: expert, weight: weights[i]! }] : [],
  )
}

/** The decision with a mixture in place of its one expert, where more than one has a share. */
export function mixDecision(decision: RouteDecision, settings: MixSettings): RouteDecision {
  if (decision.expert === undefined) return decision
  const mixture = mixScores(decision.scores, settings)
  if (mixture.length < 2) return decision
  const shown = mixture.map(({ name, weight }) => `${name} ${weight}`).join(', ')
  return Object.assign({}, decision, {
    mixture,
    reason: `${decision.reason} They answer together: ${shown}.`,
  })
}

/** 'coder:0.7+security:0.3', as requests name experts; undefined: the base. */
export function describeAnswering({ expert, mixture }: RouteDecision): string | undefined {
  if (expert === undefined) return undefined
  const parts = mixture ?? [{ name: expert, weight: 1 }]
  return formatExpertSpec({ parts })
}
