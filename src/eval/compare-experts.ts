// How far one expert's predictions lie from another's on rows: what compressing or merging has
// cost, in the model's own terms.

import type { Expert } from '../adapters/index.ts'
import { DataError } from '../base/errors.ts'
import type { Model } from '../runtime/index.ts'
import { computeCrossEntropy, computeDivergence } from '../runtime/scoring.ts'
import type { EncodedSequence } from '../train/data/encode.ts'

export interface ExpertDistance {
  readonly rows: number
  /** Learned tokens, over which everything here is a mean. */
  readonly tokens: number
  /** Cross-entropy in nats a token. */
  readonly lossBefore: number
  readonly lossAfter: number
  /** KL(before ‖ after) in nats a token. */
  readonly divergence: number
}

export interface CompareOptions {
  /** undefined: the base. */
  readonly before: Expert | undefined
  readonly after: Expert | undefined
  readonly signal?: AbortSignal | undefined
  readonly onRow?: ((done: number) => void) | undefined
}

/**
 * Asks both experts about every learned token of the rows, one row at a time. Throws DataError
 * where nothing is learned in them.
 */
export async function compareExperts(
  model: Model,
  rows: readonly EncodedSequence[],
  { before, after, signal, onRow }: CompareOptions,
): Promise<ExpertDistance> {
  let tokens = 0
  let lossBefore = 0
  let lossAfter = 0
  let total = 0
  for (const [done, { ids, weights }] of rows.entries()) {
    signal?.throwIfAborted()
    onRow?.(done)
    const row = [Array.from(ids)]
    const old = await model.logits(row, { adapter: before })
    const fresh = await model.logits(row, { adapter: after })
    const width = old.shape[2]!
    ids.forEach((id, t) => {
      if (!(weights[t]! > 0)) return
      const [p, q] = [old, fresh].map(({ data }) => data.subarray((t - 1) * width, t * width)) as [
        Float32Array,
        Float32Array,
      ]
      tokens++
      lossBefore += computeCrossEntropy(p, id)
      lossAfter += computeCrossEntropy(q, id)
      total += computeDivergence(p, q)
    })
  }
  if (tokens === 0)
    throw new DataError(
      'These rows hold no token that is learned, so there is nothing to compare on.',
    )
  return {
    rows: rows.length,
    tokens,
    lossBefore: lossBefore / tokens,
    lossAfter: lossAfter / tokens,
    divergence: total / tokens,
  }
}
