// The feeds of one call that every program takes: new tokens after those that their rows hold.
// Independent of the expert, of keys and values, and of which results are needed.

import { ACTIVE, computeActiveFeed } from '../../adapters/activation.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { collectRopeRowFeeds, collectRopeTableFeeds } from '../../graph/feeds.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { BaseWeights } from './base-weights.ts'
import { computeCacheMask, type Span, collectSpanFeeds } from './cache-feeds.ts'
import { EMBEDDING_ROWS, HELD_TOKENS } from './cached-graph.ts'

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
  /** Tokens of each row once all its pieces are read. Default: with these pieces. */
  readonly sequenceLengths?: readonly number[] | undefined
  /** Whether the program reads masks. Default true. */
  readonly isMasked?: boolean
}

export async function collectCallFeeds(
  { config, weights }: CallFeedParts,
  { pieces, lengths, capacity, starts, sequenceLengths, isMasked = true }: CallTokens,
): Promise<Map<string, Tensor>> {
  const span: Span = { lengths, counts: pieces.map(({ length }) => length), capacity }
  const width = Math.max(...span.counts)
  const padded = pieces.flatMap((piece) => [
    ...piece,
    ...new Array<number>(width - piece.length).fill(0),
  ])
  const ends = lengths.map((length, row) => length + span.counts[row]!)
  const context = Math.max(...ends)
  return new Map<string, Tensor>([
    ...collectSpanFeeds(span, context),
    ...(config.rope.main.scaling?.type === 'dynamic'
      ? collectOwnAngles(config, span, sequenceLengths ?? ends)
      : collectRopeTableFeeds(config, context)),
    ['ids', i64([pieces.length, width], padded)],
    [
      EMBEDDING_ROWS,
      f32(
        [pieces.length, width, config.width],
        await weights.embeddingRows(padded.map((id) => Math.max(id, 0))),
      ),
    ],
    ...(isMasked ? collectMaskFeeds(config, span) : []),
    ...(config.recurrence ? [computeHeldFeed(span.counts, width)] : []),
    ...(starts ? [[ACTIVE, computeActiveFeed(starts, width, lengths)] as const] : []),
  ])
}

/**
 * RoPE tables for this call: with dynamic scaling the angles of each row depend on its length.
 * Positions are then indices into these tables.
 */
function collectOwnAngles(
  config: ModelConfig,
  { lengths, counts }: Span,
  sequenceLengths: readonly number[],
): [string, Tensor][] {
  const width = Math.max(...counts)
  const spans = lengths.map((length, row) => ({
    positions: Array.from({ length: width }, (_, t) => length + t),
    sequenceLength: sequenceLengths[row]!,
  }))
  const places = Array.from({ length: lengths.length * width }, (_, i) => i)
  return [
    ...collectRopeRowFeeds(config, spans),
    ['positions', i64([lengths.length, width], places)],
  ]
}

/** Which tokens belong to a row, and which are padding. */
const computeHeldFeed = (counts: readonly number[], width: number): [string, Tensor] => [
  HELD_TOKENS,
  f32(
    [counts.length, width, 1],
    counts.flatMap((count) => Array.from({ length: width }, (_, t) => (t < count ? 1 : 0))),
  ),
]

function collectMaskFeeds({ layers }: ModelConfig, span: Span): [string, Tensor][] {
  const window = layers.find(({ slidingWindow }) => slidingWindow !== undefined)?.slidingWindow
  return [
    ['mask', computeCacheMask(span)],
    ...(window === undefined
      ? []
      : [['mask.sliding', computeCacheMask(span, window)] satisfies [string, Tensor]]),
  ]
}
