// Cross-entropy: next-token prediction, the loss of plain training.

import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import { readOptions } from '../../base/schema.ts'
import type { Loss } from './loss.ts'

/** −log p(label) of every scored token, [M]. */
export const buildTokenLosses = (g: GraphBuilder, logits: Value): Value =>
  g.op('crossEntropy', [logits, g.input('labels', 'i64', ['M'])])

/** Σ_m weights[m]·values[m] */
export const buildWeightedSum = (g: GraphBuilder, values: Value): Value =>
  g.reduceSum(g.multiply(values, g.input('weights', 'f32', ['M'])), [0])

/** loss = Σ_m w_m·(−log p(label_m)) */
export const crossEntropy: Loss = {
  name: 'cross-entropy',
  about: 'the mean of −log p of the tokens that are learned',
  options: {},
  learnsFrom: 'rows',
  chance: Math.log,
  complete: (options) => readOptions('Cross-entropy', options, {}),
  graph: (g, logits) => ({ loss: buildWeightedSum(g, buildTokenLosses(g, logits)) }),
}
