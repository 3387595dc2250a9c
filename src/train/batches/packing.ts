// Assigns rows to batches, and builds the batches. A row is never split, and no token attends to
// another row.

import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { PADDING, SHARED_PREFIX } from '../../graph/feeds.ts'
import type { Batch } from './batch.ts'
import type { EncodedSequence } from '../data/encode.ts'

/** The row numbers of each packed sequence of a batch: at most N packed sequences. */
export type BatchPlan = readonly (readonly number[])[]

export interface PackingOptions {
  /** Most packed sequences in a batch. */
  readonly rows: number // N
  /** Most tokens in a packed sequence. */
  readonly tokens: number // T
  /** Whether a packed sequence may hold several rows; otherwise each row is padded by itself. */
  readonly packing: boolean
  /**
   * Length of the prefix that all rows share: it is stored once in each packed sequence, and all
   * its rows attend to it. 0: none.
   */
  readonly shared: number
  /**
   * How many consecutive rows must be in one batch, and with packing in one packed sequence: 2 for
   * pairs. Default: 1.
   */
  readonly together?: number
  readonly seed: number
  readonly epoch: number
}

// few enough to keep the order random, enough for first-fit to fill packed sequences
const windowRows = 256
const leastShared = 4 // fewer tokens are not worth a wider mask
const roundTokens = 8 // lengths are multiples, so that few different shapes occur

/**
 * The length of the common prefix of all rows that has no label; each row keeps at least one token
 * of its own.
 */
export function countSharedPrefix(rows: readonly EncodedSequence[]): number {
  const first = rows[0]
  if (!first || rows.length < 2) return 0
  let length = first.ids.length - 1
  for (const { ids, weights } of rows) {
    length = Math.min(length, ids.length - 1)
    for (let t = 0; t < length; t++) if (ids[t] !== first.ids[t] || weights[t]! > 0) length = t
  }
  return length >= leastShared ? length : 0
}

interface PackedSequence {
  /** Numbers of units. */
  readonly members: number[]
  free: number
}

/** First-fit decreasing: the longest units first, each into the first packed sequence with room. */
function packFirstFit(
  members: readonly number[],
  lengthOf: (unit: number) => number,
  capacity: number,
): PackedSequence[] {
  const lines: PackedSequence[] = []
  for (const unit of members.toSorted((a, b) => lengthOf(b) - lengthOf(a))) {
    const length = lengthOf(unit)
    let line = lines.find(({ free }) => free >= length)
    if (!line) lines.push((line = { members: [], free: capacity }))
    line.members.push(unit)
    line.free -= length
  }
  return lines
}

const splitIntoGroups = <Item>(items: readonly Item[], size: number): Item[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )

/** Throws OptionError if a row, or rows that belong together, are longer than a packed sequence. */
function checkLengths(
  rows: readonly EncodedSequence[],
  { tokens, packing, shared, together = 1 }: PackingOptions,
): void {
  const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), 0)
  if (longest > tokens)
    throw new OptionError(
      `A row has ${longest} tokens, and a packed sequence has at most ${tokens}: raise batch.tokens or lower maxTokens.`,
    )
  if (together === 1 || !packing) return
  const lines = splitIntoGroups(rows, together).map((unit) =>
    unit.reduce((sum, { ids }) => sum + ids.length - shared, shared),
  )
  const most = lines.reduce((a, b) => Math.max(a, b), 0)
  if (most > tokens)
    throw new OptionError(
      `A pair has ${most} tokens, and a packed sequence, which must hold both rows, has at most ${tokens}: raise batch.tokens, lower maxTokens to half of it, or leave out packing.`,
    )
}

/**
 * The batches of one epoch: rows in an order drawn from (seed, epoch), packed window by window;
 * packed sequences that do not fill a batch wait for the next window. Every row occurs exactly
 * once, and rows that belong together are in one batch. Throws OptionError if a row is longer than
 * a packed sequence.
 */
export function planEpoch(rows: readonly EncodedSequence[], options: PackingOptions): BatchPlan[] {
  const { rows: lines, tokens, packing, shared, together = 1, seed, epoch } = options
  checkLengths(rows, options)
  const generator = random(seed ^ Math.imul(epoch + 1, 0x9e3779b9)) // golden ratio: seeds far apart
  const units = splitIntoGroups(
    rows.map((_, row) => row),
    together,
  )
  const order = generator.shuffle(units.map((_, unit) => unit))
  const rowsOf = (members: readonly number[]): number[] => members.flatMap((unit) => units[unit]!)
  if (!packing)
    return splitIntoGroups(
      rowsOf(order).map((row) => [row]),
      Math.max(1, Math.floor(lines / together)) * together,
    )
  const own = (unit: number): number =>
    units[unit]!.reduce((sum, row) => sum + rows[row]!.ids.length - shared, 0)
  const batches: BatchPlan[] = []
  let waiting: number[] = []
  for (let start = 0; start < order.length; start += windowRows) {
    const packed = packFirstFit(
      [...waiting, ...order.slice(start, start + windowRows)],
      own,
      tokens - shared,
    )
    const isLast = start + windowRows >= order.length
    const whole = isLast ? packed.length : packed.length - (packed.length % lines)
    const fullest = packed.toSorted((a, b) => a.free - b.free)
    waiting = fullest.slice(whole).flatMap(({ members }) => members)
    const ready = generator.shuffle(fullest.slice(0, whole)).map(({ members }) => rowsOf(members))
    batches.push(...splitIntoGroups(ready, lines))
  }
  return batches
}

/** Tokens of a packed sequence. */
const countPackedTokens = (
  rows: readonly EncodedSequence[],
  line: readonly number[],
  shared: number,
): number => line.reduce((sum, row) => sum + rows[row]!.ids.length - shared, shared)

/**
 * The batch of a plan: [N, T], where T is the longest packed sequence, rounded up to a multiple of
 * 8. Label weights are the rows' own times `scale`. A token's label is at the position before it;
 * after a shared prefix, that is the prefix's last token for every row.
 */
export function buildBatch(
  rows: readonly EncodedSequence[],
  plan: BatchPlan,
  { shared = 0, scale = 1, tokens = Infinity } = {},
): Batch {
  const longest = Math.max(...plan.map((line) => countPackedTokens(rows, line, shared)))
  const width = Math.min(Math.max(tokens, longest), Math.ceil(longest / roundTokens) * roundTokens)
  const ids = new Int32Array(plan.length * width)
  const positions = new Int32Array(ids.length)
  const segments = new Int32Array(ids.length).fill(PADDING)
  const scored: number[] = []
  const labels: number[] = []
  const weights: number[] = []
  plan.forEach((line, n) => {
    const lineStart = n * width
    let at = lineStart
    const put = (id: number, position: number, segment: number): void => {
      ids[at] = id
      positions[at] = position
      segments[at++] = segment
    }
    for (let t = 0; t < shared; t++) put(rows[line[0]!]!.ids[t]!, t, SHARED_PREFIX)
    line.forEach((row, segment) => {
      const { ids: tokensOfRow, weights: weightsOfRow } = rows[row]!
      for (let t = shared; t < tokensOfRow.length; t++) {
        if (weightsOfRow[t]! > 0) {
          scored.push(t === shared && shared > 0 ? lineStart + shared - 1 : at - 1)
          labels.push(tokensOfRow[t]!)
          weights.push(weightsOfRow[t]! * scale)
        }
        put(tokensOfRow[t]!, t, segment)
      }
    })
  })
  return {
    rows: plan.length,
    tokens: width,
    ids,
    positions,
    segments,
    scored: Int32Array.from(scored),
    labels: Int32Array.from(labels),
    weights: Float32Array.from(weights),
  }
}

/** Tokens' weights as labels in a batch's rows. */
const sumLabelWeights = (rows: readonly EncodedSequence[], plans: readonly BatchPlan[]): number =>
  plans
    .flat(2)
    .reduce((sum, row) => sum + rows[row]!.weights.reduce((part, weight) => part + weight, 0), 0)

/** The factor that makes the label weights of all these batches add up to 1. */
export const computeLabelScale = (
  rows: readonly EncodedSequence[],
  plans: readonly BatchPlan[],
): number => 1 / sumLabelWeights(rows, plans)

/**
 * Batches whose label weights add up to 1, so that their summed loss is the mean over scored
 * tokens.
 */
export function buildBatches(
  { rows, shared }: { rows: readonly EncodedSequence[]; shared: number },
  plans: readonly BatchPlan[],
): Batch[] {
  const scale = computeLabelScale(rows, plans)
  return plans.map((plan) => buildBatch(rows, plan, { shared, scale }))
}

/** Share of the batches' positions that hold a token; 1 means no padding. */
export function computeFillRate(
  rows: readonly EncodedSequence[],
  plans: readonly BatchPlan[],
  shared = 0,
): number {
  let used = 0
  let places = 0
  for (const plan of plans) {
    const lengths = plan.map((line) => countPackedTokens(rows, line, shared))
    used += lengths.reduce((sum, length) => sum + length, 0)
    places += plan.length * Math.ceil(Math.max(...lengths) / roundTokens) * roundTokens
  }
  return places === 0 ? 1 : used / places
}
