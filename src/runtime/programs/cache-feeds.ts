// Masks, positions and lengths for new tokens after a cache. Independent of weights.

import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { computeWindowStart, HIDDEN_SCORE, unmaskKeys } from '../../graph/feeds.ts'
import { SPLIT } from './cached-graph.ts'

/** The positions of a batch's new tokens. */
export interface Span {
  /** Tokens in the cache, by row. */
  readonly lengths: readonly number[]
  /** New tokens, by row; rows are padded on the right to the longest. */
  readonly counts: readonly number[]
  /** Slots of the cache, C. */
  readonly capacity: number
}

/**
 * Mask f32 [N, 1, T, C+T] added to the scores. New token t of row n is at position lengths[n] + t
 * and attends to the filled slots and the new tokens up to itself, or to the last `window` of them.
 */
export function computeCacheMask(
  { lengths, counts, capacity }: Span,
  window = Infinity,
): Tensor<Float32Array> {
  const tokens = Math.max(...counts)
  const span = capacity + tokens
  const mask = f32([lengths.length, 1, tokens, span])
  mask.data.fill(HIDDEN_SCORE)
  lengths.forEach((length, row) => {
    for (let t = 0; t < tokens; t++) {
      const start = (row * tokens + t) * span
      const first = computeWindowStart(length + t, window)
      unmaskKeys(mask.data, start, Math.min(length, first), length)
      unmaskKeys(mask.data, start, capacity + Math.max(0, first - length), capacity + t + 1)
    }
  })
  return mask
}

/**
 * Positions i64 [N, T], with those of padding clamped below `limit`; and the lengths of past and
 * present.
 */
export function collectSpanFeeds(
  { lengths, counts, capacity }: Span,
  limit: number,
): Map<string, Tensor> {
  const tokens = Math.max(...counts)
  const positions = lengths.flatMap((length) =>
    Array.from({ length: tokens }, (_, t) => Math.min(length + t, limit - 1)),
  )
  return new Map<string, Tensor>([
    ['positions', i64([lengths.length, tokens], positions)],
    [SPLIT, i64([2], [capacity, tokens])],
  ])
}
