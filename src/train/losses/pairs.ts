// Shared by losses over pairs: the margin of a pair in the graph, its feeds, and the share of pairs
// whose chosen row wins.

import { f32, type Tensor } from '../../base/tensor.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import { buildTokenLosses } from './cross-entropy.ts'
import { type FrozenPass, type LossBatch, type NamedTensors, collectValues } from './loss.ts'

/**
 * log π(chosen) − log π(rejected) of every pair, [P]: sums of the tokens' log-probabilities, or
 * means where `computePairFeeds` is called with `means`.
 */
export function buildMargins(g: GraphBuilder, logits: Value): Value {
  // [P, M]
  const signed = g.multiply(g.input('pairs.signs', 'f32', ['P', 'M']), buildTokenLosses(g, logits))
  return g.scale(g.reduceSum(signed, [1]), -1)
}

/** The same margin of the reference, [P]. */
export const buildReferenceMargins = (g: GraphBuilder): Value =>
  g.input('pairs.reference', 'f32', ['P'])

/** Σ_p weights[p]·values[p] */
export const buildPairMean = (g: GraphBuilder, values: Value): Value =>
  g.reduceSum(g.multiply(values, g.input('pairs.weights', 'f32', ['P'])), [0])

export const buildConstant = (g: GraphBuilder, value: number): Value => g.constant(f32([], [value]))

/**
 * At the learning rates of plain training, chosen rows become less likely too, although less so
 * than rejected ones (docs/losses.md has the numbers).
 */
export const pairsRateFactor = 0.2

/** The frozen model of losses with a reference: log p of every label, computed once. */
export const referencePass: FrozenPass = {
  role: 'reference',
  ahead: true,
  graph: (g, logits) => ({ logProbabilities: g.scale(buildTokenLosses(g, logits), -1) }),
}

/**
 * Signs [P, M]: +1 at the tokens of a pair's chosen row, −1 at those of its rejected one (±1 over
 * the row's tokens for means), 0 elsewhere; weights [P]; the reference's margins [P] if there is
 * one.
 */
export function computePairFeeds(
  { labelCounts, pairWeights, frozen }: LossBatch,
  { means = false } = {},
): Map<string, Tensor> {
  const pairs = labelCounts.length / 2
  const tokens = labelCounts.reduce((sum, count) => sum + count, 0)
  const signs = f32([pairs, tokens])
  const reference = f32([pairs])
  const known = frozen.get('logProbabilities')?.data as Float32Array | undefined
  let m = 0
  labelCounts.forEach((count, row) => {
    const pair = row >> 1
    const sign = (row % 2 === 0 ? 1 : -1) / (means ? count : 1)
    for (const end = m + count; m < end; m++) {
      signs.data[pair * tokens + m] = sign
      if (known) reference.data[pair]! += sign * known[m]!
    }
  })
  return new Map<string, Tensor>([
    ['pairs.signs', signs],
    ['pairs.weights', f32([pairs], pairWeights)],
    ...(known ? [['pairs.reference', reference] as const] : []),
  ])
}

/**
 * The share of pairs whose chosen row gained more than the rejected one, and the mean difference:
 * the reward margin.
 */
export function reportPairs(outputs: readonly NamedTensors[]): {
  accuracy: number
  margin: number
} {
  const found = collectValues(outputs, 'margins')
  return {
    accuracy: found.filter((margin) => margin > 0).length / found.length,
    margin: found.reduce((sum, margin) => sum + margin, 0) / found.length,
  }
}
