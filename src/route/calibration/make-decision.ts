// From scores of experts to a decision: softmax at a temperature, the threshold, the reason. Every
// kind that scores experts uses it, so that all abstain by the same rule.

import type { Calibration } from '../router-file.ts'
import type { ExpertScore, RouteDecision } from '../router.ts'

/** The calibration of an uncalibrated router: a temperature of 1 and no threshold. */
export const uncalibrated = { temperature: 1, threshold: 0 } satisfies Calibration

/** Scores that a decision shows; the others are far below. */
const shownScores = 10

/** exp(x/t) over its sum; −Infinity gives 0. All −Infinity gives zeros. */
export function computeSoftmax(logits: ArrayLike<number>, temperature = 1): Float64Array {
  const out = new Float64Array(logits.length)
  let most = -Infinity
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i]!)
  if (most === -Infinity) return out
  let sum = 0
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.exp((logits[i]! - most) / temperature)
    sum += out[i]!
  }
  for (let i = 0; i < out.length; i++) out[i]! /= sum
  return out
}

/** The best experts by their probabilities, best first; equal ones in the order of the list. */
export function rankExperts(
  experts: readonly string[],
  shares: ArrayLike<number>,
  most = shownScores,
): ExpertScore[] {
  const best: number[] = []
  for (let i = 0; i < experts.length; i++) {
    if (!(shares[i]! > 0)) continue
    if (best.length === most && shares[best[most - 1]!]! >= shares[i]!) continue
    let at = best.length
    while (at > 0 && shares[best[at - 1]!]! < shares[i]!) at--
    best.splice(at, 0, i)
    if (best.length > most) best.pop()
  }
  return best.map((i) => ({ expert: experts[i]!, score: shares[i]! }))
}

export interface DecisionInput {
  readonly scores: readonly ExpertScore[]
  /** How likely it is that the best of them is right. */
  readonly confidence: number
  readonly calibration: Calibration
  /** What speaks for the best expert: 'nearest example "…"'. */
  readonly because: string
  readonly features?: Float32Array | undefined
}

const formatShare = (share: number): string => `${(share * 100).toFixed(1)} %`

/** The best expert where the confidence reaches the threshold, else the base with the reason. */
export function makeDecision({
  scores,
  confidence,
  calibration: { threshold = 0 },
  because,
  features,
}: DecisionInput): RouteDecision {
  const best = scores[0]
  const isSure = best !== undefined && confidence >= threshold
  const reason =
    best === undefined
      ? `The base answers, because ${because}.`
      : isSure
        ? `${best.expert} at ${formatShare(confidence)}, because ${because}.`
        : `The base answers, because the best expert, ${best.expert}, has only ${formatShare(confidence)} and ${formatShare(threshold)} are needed.`
  return {
    expert: isSure ? best.expert : undefined,
    confidence: best === undefined ? 0 : confidence,
    scores,
    reason,
    ...(features && { features }),
  }
}

/** A decision for the base without scores, such as for an empty prompt. */
export const decideForBase = (because: string): RouteDecision => ({
  expert: undefined,
  confidence: 0,
  scores: [],
  reason: `The base answers, because ${because}.`,
})

/** A text for use in a sentence: one line, no control codes, at most 60 characters. */
export function quoteText(text: string): string {
  const plain = text
    .slice(0, 400)
    .replace(/\p{C}+|\s+/gu, ' ')
    .trim()
  return `"${plain.length > 60 ? `${plain.slice(0, 59)}…` : plain}"`
}
