// The feeds of the step programs, except caches and adapters: embedding rows, positions, masks,
// rotary tables, and the place of each row. Only this file creates them.

import { computeActiveFeed, ACTIVE } from '../../../adapters/activation.ts'
import {
  RANK_CHUNK,
  toBackName,
  toGroupName,
  VECTOR_INDEX,
} from '../../../adapters/serving/detours.ts'
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

/** New tokens of rows, after their cached tokens. */
export interface StepSpan {
  /** New tokens by row, equally many in each row. */
  readonly ids: readonly (readonly number[])[]
  /** Tokens of each row. */
  readonly lengths: readonly number[]
  /** Slots of a row, C. */
  readonly capacity: number
  /** Tokens of each row once all its pieces are read. Default: with these tokens. */
  readonly sequenceLengths?: readonly number[]
  /**
   * Indices of the tokens, out of N·T, whose hidden states are returned. Default: the last of each
   * row.
   */
  readonly picks?: readonly number[]
  /** How many of these get logits, the first ones. Default: all. */
  readonly logits?: number
}

export type StepFeedParts = CallFeedParts

/** Slots of one block of the cache in decoding, where a row is longer than two of them. */
export const BLOCK_SLOTS = 256

/** Rows up to this capacity are one block. */
const SINGLE_BLOCK_SLOTS = 512

/** How decoding divides a cache of C slots: one block up to 512 slots, blocks of 256 beyond. */
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
  { ids, lengths, capacity, picks, logits, sequenceLengths }: StepSpan,
  isMasked = true,
): Promise<Map<string, Tensor>> {
  const tokens = ids[0]!.length
  const rows = picks ?? ids.map((_, row) => (row + 1) * tokens - 1)
  const call = { pieces: ids, lengths, capacity, sequenceLengths, isMasked }
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
 * What the shared form of a piece needs in addition to an expert's tensors: how many rows of every
 * A are multiplied at a time. Ranks that are multiples of 16 run fastest.
 */
export function collectRankFeeds(tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] {
  const ranks = [...tensors].flatMap(([name, { shape }]) => (name.endsWith('.A') ? shape[0]! : []))
  const divisor = ranks.reduce(computeDivisor, 0) || 1
  let chunk = Math.min(divisor, MOST_CHUNK_ROWS)
  while (divisor % chunk !== 0) chunk--
  return [[RANK_CHUNK, i64([1], [chunk])]]
}

/** Which entry of the vector set each row has; 0 is the neutral one. */
export const collectVectorFeeds = (indices: readonly number[]): [string, Tensor][] => [
  [VECTOR_INDEX, i64([indices.length, 1], indices)],
]

export interface RowGroups {
  /** G: the adapters that the set's tensors hold. */
  readonly active: number
  /** The row's place among them, undefined for a row without an adapter of this set. */
  readonly slots: readonly (number | undefined)[]
  /** Numbers of units that layers are cut into. */
  readonly units: readonly number[]
  /** The factor of each row's low-rank part. Default: 1 for all. */
  readonly gains?: readonly number[]
}

/** Feeds that group the rows of a batch by their adapter in rank set `set`. */
export function collectGroupFeeds(
  set: number,
  { active, slots, units, gains = slots.map(() => 1) }: RowGroups,
): Map<string, Tensor> {
  const members: number[][] = Array.from({ length: active }, () => [])
  slots.forEach((slot, row) => slot !== undefined && members[slot]!.push(row))
  const used = members.reduce((sum, rows) => sum + rows.length, 0)
  const most = Math.max(1, ...members.map((rows) => rows.length))
  // A row without an adapter of this set reads a place of gain 0: there must be one.
  const width = used < slots.length && used === active * most ? most + 1 : most
  const places = new Array<number>(2 * active * width).fill(0)
  const factors = f32([active, 1, width, 1])
  const empty = Math.max(
    0,
    members.findIndex((rows) => rows.length < width),
  )
  const back: Place[] = slots.map(() => ({ group: empty, member: width - 1 }))
  members.forEach((rows, group) =>
    rows.forEach((row, member) => {
      const place = group * width + member
      places[2 * place] = row
      factors.data[place] = gains[row]!
      back[row] = { group, member }
    }),
  )
  return new Map<string, Tensor>([
    [toGroupName(set, 'rows'), i64([active, 1, width, 2], places)],
    [toGroupName(set, 'gain'), factors],
    ...units.map((count) => [toBackName(set, count), createBackFeed(back, count)] as const),
  ])
}

interface Place {
  readonly group: number
  readonly member: number
}

/** Which (adapter, unit, place) each row reads in layers of `units` units. */
function createBackFeed(back: readonly Place[], units: number): Tensor {
  const triples = back.flatMap(({ group, member }) =>
    Array.from({ length: units }, (_, unit) => [group, unit, member]).flat(),
  )
  return i64(units === 1 ? [back.length, 1, 3] : [back.length, 1, units, 3], triples)
}
