// The input of the gradient program: several sequences packed into one row, each attending to
// itself and to a shared prefix.

import type { Tensor } from '../../base/tensor.ts'

/**
 * Arrays of [N, T] in row-major order; `scored`, `labels` and `weights` of [M], M the number of
 * scored positions.
 */
export interface Batch {
  readonly rows: number // N
  readonly tokens: number // T
  readonly ids: Int32Array
  /** Restart with every sequence; after a shared prefix they continue from its length. */
  readonly positions: Int32Array
  /** Number of the sequence a token belongs to, or SHARED or PADDING of graph/feeds.ts. */
  readonly segments: Int32Array
  /** Positions n·T + t whose next token is scored: each comes before its label. */
  readonly scored: Int32Array
  readonly labels: Int32Array
  /** Each label's weight in the summed loss. */
  readonly weights: Float32Array
  /** The loss's inputs in addition to labels and weights. */
  readonly feeds?: ReadonlyMap<string, Tensor>
}
