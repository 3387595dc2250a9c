// What the programs that serve in steps are fed beside caches and adapters: embedding rows,
// positions, masks, rotary tables, and which row stands where. The only place that makes them.

import { computeActiveFeed, ACTIVE } from '../../../adapters/activation.ts'
import { RANK_CHUNK, toGroupName, VECTOR_INDEX } from '../../../adapters/serving/detours.ts'
import { f32, i64, type Tensor } from '../../../base/tensor.ts'
import { LOGIT_ROWS } from '../cached-graph.ts'
import { type CallFeedParts, collectCallFeeds } from '../call-feeds.ts'
import {
  hasPieceAttention,
  PAST_BLOCKS,
  SHARE_BLOCKS,
  SPAN_LAST,
  SPAN_TOTAL,
} from './step-graph.ts'

/** New tokens of rows behind their caches. */
export interface StepSpan {
  /** New tokens by row, equally many in each row. */
  readonly ids: readonly (readonly number[])[]
  /** Tokens that each row holds. */
  readonly lengths: readonly number[]
  /** Slots of a row, C. */
  readonly capacity: number
  /** Tokens of the longest row once all its pieces are read. Default: with these tokens. */
  readonly sequenceLength?: number
  /** Which of the N·T tokens give hidden states, counted through. Default: the last of each row. */
  readonly picks?: readonly number[]
  /** How many of these get logits, the first ones. Default: all. */
  readonly logits?: number
}

export type StepFeedParts = CallFeedParts

/** Slots of one block of the cache in decoding, where a row is longer than two of them. */
export const BLOCK_SLOTS = 256

/** Rows up to this capacity are one block. */
const SINGLE_BLOCK_SLOTS = 512

/** How a cache of C slots is seen in decoding: one block up to 512 slots, blocks of 256 beyond. */
const chooseBlockSlots = (capacity: number): number =>
  capacity <= SINGLE_BLOCK_SLOTS || capacity % BLOCK_SLOTS !== 0 ? capacity : BLOCK_SLOTS

/** Feeds of the decode program for one new token of each row. */
export async function collectDecodeFeeds(
  parts: StepFeedParts,
  span: StepSpan,
): Promise<Map<string, Tensor>> {
  const { heads, kvHeads, headWidth } = parts.config
  const slots = chooseBlockSlots(span.capacity)
  const blocks = span.capacity / slots
  const feeds = await collectCommonFeeds(parts, span)
  return feeds
    .set(PAST_BLOCKS, i64([6], [0, kvHeads, blocks, 1, slots, headWidth]))
    .set(SHARE_BLOCKS, i64([6], [0, kvHeads, heads / kvHeads, 1, blocks, slots]))
}

/** Feeds of the prefill program for a piece of one prompt. */
export async function collectPrefillFeeds(
  parts: StepFeedParts,
  span: StepSpan,
): Promise<Map<string, Tensor>> {
  const feeds = await collectCommonFeeds(parts, span, !hasPieceAttention(parts.config))
  const last = span.lengths.map((length, row) => length + span.ids[row]!.length - 1)
  return feeds
    .set(SPAN_LAST, { dtype: 'i32', shape: [last.length], data: Int32Array.from(last) })
    .set(SPAN_TOTAL, { dtype: 'i32', shape: [], data: Int32Array.of(Math.max(...last) + 1) })
}

async function collectCommonFeeds(
  parts: StepFeedParts,
  { ids, lengths, capacity, picks, logits, sequenceLength }: StepSpan,
  isMasked = true,
): Promise<Map<string, Tensor>> {
  const tokens = ids[0]!.length
  const rows = picks ?? ids.map((_, row) => (row + 1) * tokens - 1)
  const call = { pieces: ids, lengths, capacity, sequenceLength, isMasked }
  const feeds = await collectCallFeeds(parts, call)
  return feeds
    .set('rows', i64([rows.length], rows))
    .set(LOGIT_ROWS, i64([logits ?? rows.length], [...rows.keys()].slice(0, logits)))
}

/** The factor of A·x of each token in the shared form: 1 from position `start` of a row on. */
export const collectGainFeeds = (
  starts: readonly number[],
  tokens: number,
  lengths: readonly number[],
): [string, Tensor][] => [[ACTIVE, computeActiveFeed(starts, tokens, lengths)]]

/** The most rows of A that a piece of a prompt multiplies at a time. */
const MOST_CHUNK_ROWS = 16

const computeDivisor = (a: number, b: number): number => (b === 0 ? a : computeDivisor(b, a % b))

/**
 * What the shared form of a piece needs beside an expert's tensors, to be fed behind them: how many
 * rows of every A are multiplied at a time, and zeros of that rank where a module's rank is 0.
 * Ranks that are multiples of 16 run fastest.
 */
export function collectRankFeeds(tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] {
  const matrices = [...tensors].filter(([name]) => name.endsWith('.A'))
  const ranks = matrices.map(([, { shape }]) => shape[0]!)
  const divisor = ranks.reduce(computeDivisor, 0) || 1
  let chunk = Math.min(divisor, MOST_CHUNK_ROWS)
  while (divisor % chunk !== 0) chunk--
  const zeros = matrices.flatMap(([name, { shape }]): [string, Tensor][] => {
    const [rank, width] = shape as [number, number]
    const out = `${name.slice(0, -1)}B`
    return rank > 0
      ? []
      : [
          [name, f32([chunk, width])],
          [out, f32([tensors.get(out)!.shape[0]!, chunk])],
        ]
  })
  return [[RANK_CHUNK, i64([1], [chunk])], ...zeros]
}

/** Which entry of the vector set each row has; 0 is the neutral one. */
export const collectVectorFeeds = (indices: readonly number[]): [string, Tensor][] => [
  [VECTOR_INDEX, i64([indices.length, 1], indices)],
]

/**
 * Feeds that group the rows of a batch by their adapter in rank set `set`: `slots[row]` is the
 * row's place in the set, undefined for a row without an adapter of this set; `gains[row]` the
 * factor of its low-rank part, 1 by default. `active` is the set's number of adapters, G.
 */
export function collectGroupFeeds(
  set: number,
  active: number,
  slots: readonly (number | undefined)[],
  gains: readonly number[] = slots.map(() => 1),
): Map<string, Tensor> {
  const members: number[][] = Array.from({ length: active }, () => [])
  slots.forEach((slot, row) => slot !== undefined && members[slot]!.push(row))
  const used = members.reduce((sum, rows) => sum + rows.length, 0)
  const most = Math.max(1, ...members.map((rows) => rows.length))
  // A row without an adapter of this set reads a place of gain 0: there must be one.
  const width = used < slots.length && used === active * most ? most + 1 : most
  const places = new Array<number>(active * width).fill(0)
  const factors = f32([active, width, 1])
  const back = new Array<number>(slots.length)
  const empty = members.findIndex((rows) => rows.length < width)
  back.fill(empty < 0 ? 0 : empty * width + width - 1)
  members.forEach((rows, slot) =>
    rows.forEach((row, member) => {
      const place = slot * width + member
      places[place] = row
      factors.data[place] = gains[row]!
      back[row] = place
    }),
  )
  return new Map<string, Tensor>([
    [toGroupName(set, 'rows'), i64([active, width], places)],
    [toGroupName(set, 'gain'), factors],
    [toGroupName(set, 'back'), i64([slots.length, 1], back)],
  ])
}

/** A rank set's tensors `<module>.A` and `<module>.B` under the names of set `set` in a program. */
export const toSetFeeds = (
  set: number,
  tensors: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> =>
  new Map(
    [...tensors].map(([name, tensor]) => {
      const dot = name.lastIndexOf('.')
      return [`${name.slice(0, dot)}.${set}${name.slice(dot)}`, tensor]
    }),
  )
