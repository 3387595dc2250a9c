// The feeds of one call that every program takes: new tokens behind what their rows hold. Independent
// of the expert, of the rows' keys and values, and of the places that are looked at.

import { ACTIVE, computeActiveFeed } from '../../adapters/activation.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { collectRopeTableFeeds } from '../../graph/feeds.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { BaseWeights } from './base-weights.ts'
import { computeCacheMask, type Span, collectSpanFeeds } from './cache-feeds.ts'
import { EMBEDDING_ROWS } from './cached-graph.ts'

export interface CallFeedParts {
  readonly config: ModelConfig
  readonly weights: Pick<BaseWeights, 'embeddingRows'>
}

/** New tokens of the rows of one call. */
export interface CallTokens {
  /** By row; a row may have none, and is padded. Negative ids stand for virtual tokens. */
  readonly pieces: readonly (readonly number[])[]
  /** Positions that the rows hold already. */
  readonly lengths: readonly number[]
  /** Slots of a row, C. */
  readonly capacity: number
  /** Positions from which the rows' experts act, where some have invocation tokens. */
  readonly starts?: readonly number[] | undefined
  /** Tokens of the longest row once all its pieces are read. Default: with these pieces. */
  readonly sequenceLength?: number | undefined
  /** Whether the program reads masks. Default true. */
  readonly isMasked?: boolean
}

export async function collectCallFeeds(
  { config, weights }: CallFeedParts,
  { pieces, lengths, capacity, starts, sequenceLength, isMasked = true }: CallTokens,
): Promise<Map<string, Tensor>> {
  const span: Span = { lengths, counts: pieces.map(({ length }) => length), capacity }
  const width = Math.max(...span.counts)
  const padded = pieces.flatMap((piece) => [
    ...piece,
    ...new Array<number>(width - piece.length).fill(0),
  ])
  const context = Math.max(...lengths.map((length, row) => length + span.counts[row]!))
  return new Map<string, Tensor>([
    ...collectRopeTableFeeds(config, context, sequenceLength),
    ...collectSpanFeeds(span, context),
    ['ids', i64([pieces.length, width], padded)],
    [
      EMBEDDING_ROWS,
      f32(
        [pieces.length, width, config.width],
        await weights.embeddingRows(padded.map((id) => Math.max(id, 0))),
      ),
    ],
    ...(isMasked ? collectMaskFeeds(config, span) : []),
    ...(starts ? [[ACTIVE, computeActiveFeed(starts, width, lengths)] as const] : []),
  ])
}

function collectMaskFeeds({ layers }: ModelConfig, span: Span): [string, Tensor][] {
  const window = layers.find(({ slidingWindow }) => slidingWindow !== undefined)?.slidingWindow
  return [
    ['mask', computeCacheMask(span)],
    ...(window === undefined
      ? []
      : [['mask.sliding', computeCacheMask(span, window)] satisfies [string, Tensor]]),
  ]
}
