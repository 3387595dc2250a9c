// Numbers from logits: cross-entropy of labels, distance between two predictions, pooled
// embeddings. Plain arithmetic in double precision.

import { DataError } from '../base/errors.ts'
import { logSumExp } from './decode/logprobs.ts'

/** Not scored: PyTorch's ignore_index. */
export const IGNORED = -100

/** −log p(label) */
export const computeCrossEntropy = (logits: Float32Array, label: number): number =>
  logSumExp(logits) - logits[label]!

/** KL(p ‖ q) of two predictions given as logits, in nats. */
export function computeDivergence(p: Float32Array, q: Float32Array): number {
  const totalP = logSumExp(p)
  const totalQ = logSumExp(q)
  let sum = 0
  for (let i = 0; i < p.length; i++) {
    const logP = p[i]! - totalP
    const share = Math.exp(logP)
    if (share > 0) sum += share * (logP - (q[i]! - totalQ))
  }
  return sum
}

/** A position whose logits are scored against the token that follows it. */
export interface ScoredLabel {
  readonly row: number
  readonly position: number
  readonly label: number
}

/**
 * Positions t with labels[t + 1] ≠ −100: labels have the shape of ids and are shifted here, as in
 * transformers. Throws DataError if none is scored.
 */
export function listScoredLabels(
  ids: readonly (readonly number[])[],
  labels: readonly (readonly number[])[],
): ScoredLabel[] {
  ids.forEach((row, n) => {
    if (labels[n]?.length !== row.length) {
      throw new DataError(
        `Row ${n}: got ${labels[n]?.length ?? 'no'} labels for ${row.length} ids; there is one label for each id, −100 where it is not scored.`,
      )
    }
  })
  const scored = labels.flatMap((row, n) =>
    row
      .slice(1)
      .flatMap((label, position) => (label === IGNORED ? [] : [{ row: n, position, label }])),
  )
  if (scored.length === 0)
    throw new DataError(
      'No label is scored: all are −100 (the first label of a row is never scored).',
    )
  return scored
}

/** The mean of the rows, scaled to length 1. */
export function poolRows(rows: readonly Float32Array[], width: number): Float32Array {
  const mean = new Float64Array(width)
  for (const row of rows) for (let i = 0; i < width; i++) mean[i]! += row[i]! / rows.length
  const length = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0))
  return Float32Array.from(mean, (value) => (length > 0 ? value / length : 0))
}
