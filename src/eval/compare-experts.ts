// Compares the predictions of two experts on rows: measures what compressing or merging has
// changed.

import type { Expert } from '../adapters/index.ts'
import { DataError } from '../base/errors.ts'
import {
  checkOptions,
  createField,
  isRecord,
  type OptionFields,
  unchecked,
} from '../base/schema.ts'
import type { Model } from '../runtime/index.ts'
import { computeCrossEntropy, computeDivergence } from '../runtime/scoring.ts'
import type { EncodedSequence } from '../train/data/encode.ts'

export interface ExpertDistance {
  readonly rows: number
  /** Learned tokens; the figures below are means over them. */
  readonly tokens: number
  /** Cross-entropy in nats per token. */
  readonly lossBefore: number
  readonly lossAfter: number
  /** KL(before ‖ after) in nats per token. */
  readonly divergence: number
}

export interface CompareOptions {
  /** undefined: the base. */
  readonly before: Expert | undefined
  readonly after: Expert | undefined
  readonly signal?: AbortSignal | undefined
  readonly onRow?: ((done: number) => void) | undefined
}

const compareFields = {
  before: createField<Expert>('an adapter or a mixture', {}, isRecord),
  after: createField<Expert>('an adapter or a mixture', {}, isRecord),
  signal: unchecked<AbortSignal>('an AbortSignal'),
  onRow: unchecked<(done: number) => void>('a function'),
} satisfies OptionFields<CompareOptions>

/**
 * Computes both experts' predictions of every learned token, one row at a time. Throws DataError if
 * no token of the rows is learned.
 */
export async function compareExperts(
  model: Model,
  rows: readonly EncodedSequence[],
  options: CompareOptions,
): Promise<ExpertDistance> {
  checkOptions('Options of compareExperts', options, compareFields)
  const { before, after, signal, onRow } = options
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
