// What every run of a model feeds in addition to weights: ids, positions, masks and rotary tables.
// Independent of caches and weights.

import { OptionError, ShapeError } from '../base/errors.ts'
import { f32, i64, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { ModelConfig } from './model-config.ts'
import { computeRopeRows, getSharedRopeTables } from './rope.ts'

/**
 * Added to the score of a masked key. Far below any score, and far from where adding a score
 * overflows f32.
 */
export const HIDDEN_SCORE = -1e30

/** Segment number of padding: such a token attends only to itself, and no token attends to it. */
export const PADDING = -1

/**
 * Segment number of a prefix to which every segment of its row attends: rows with a common prefix
 * are packed with one copy of it.
 */
export const SHARED_PREFIX = -2

export interface Sequences {
  /** Token ids by row, rows of equal length: [N][T]. −1, −2 … are an adapter's virtual tokens. */
  readonly ids: readonly (readonly number[])[]
  /** 0, 1, 2 … from the start of each segment by default. */
  readonly positions?: readonly (readonly number[])[]
  /**
   * Tokens attend only to tokens with the same number, so that packed sequences do not affect each
   * other; see PADDING and SHARED_PREFIX.
   */
  readonly segments?: readonly (readonly number[])[]
}

/**
 * The maximum distance of a row from the prefix that it shares in a packed sequence: the smallest
 * reach of a layer. It is 0 with a layer without attention, which reads neighbouring tokens, and
 * these belong to other rows.
 */
export const computeSharedReach = ({ layers }: ModelConfig): number =>
  Math.min(...layers.map(({ mixer, slidingWindow = Infinity }) => (mixer ? 0 : slidingWindow)))

/** Unmasks the keys from `from` up to but excluding `to` for one query. */
export const unmaskKeys = (
  mask: Float32Array,
  rowStart: number,
  from: number,
  to: number,
): Float32Array => mask.fill(0, rowStart + from, rowStart + to)

/** The first key to which a query at `index` attends: itself and window − 1 keys before it. */
export const computeWindowStart = (index: number, window = Infinity): number =>
  Math.max(0, index - window + 1)

/**
 * The mask [1, T, T] of one sequence: causal, within the window, within the query's own segment and
 * the shared prefix.
 */
function fillMask(
  mask: Float32Array,
  segments: readonly number[] | undefined,
  tokens: number,
  window: number | undefined,
): void {
  for (let t = 0; t < tokens; t++) {
    const row = t * tokens
    const from = computeWindowStart(t, window)
    const own = segments?.[t]
    if (own === undefined) unmaskKeys(mask, row, from, t + 1)
    else if (own === PADDING) mask[row + t] = 0
    else
      for (let s = from; s <= t; s++)
        if (segments![s] === own || segments![s] === SHARED_PREFIX) mask[row + s] = 0
  }
}

/**
 * Mask f32 [N, 1, T, T]: 0 if query t attends to key s, HIDDEN_SCORE otherwise. Every token attends
 * to itself.
 */
export function computeCausalMask(
  rows: number,
  tokens: number,
  options: { segments?: Sequences['segments']; window?: number } = {},
): F32Tensor {
  const mask = f32([rows, 1, tokens, tokens])
  mask.data.fill(HIDDEN_SCORE)
  const area = tokens * tokens
  for (let n = 0; n < rows; n++) {
    // Without segments all sequences have the mask of the first.
    if (n > 0 && !options.segments) mask.data.copyWithin(n * area, 0, area)
    else
      fillMask(
        mask.data.subarray(n * area, (n + 1) * area),
        options.segments?.[n],
        tokens,
        options.window,
      )
  }
  return mask
}

/** Positions, counted from 0 within each run of equal segment numbers. */
function computePositions(length: number, segments: readonly number[] | undefined): number[] {
  const positions: number[] = []
  for (let t = 0; t < length; t++)
    positions.push(t > 0 && segments?.[t] === segments?.[t - 1] ? positions[t - 1]! + 1 : 0)
  return positions
}

function checkRows(
  what: string,
  rows: readonly (readonly number[])[],
  count: number,
  length: number,
): void {
  if (rows.length === count && rows.every((row) => row.length === length)) return
  throw new ShapeError(
    `${what}: got rows of ${rows.map((row) => row.length).join(', ')}, expected ${count} of ${length}; pad the shorter.`,
  )
}

function checkIds(ids: Sequences['ids'], { vocabularySize, virtualTokens = 0 }: ModelConfig): void {
  ids.forEach((row, n) =>
    row.forEach((id, t) => {
      if (Number.isInteger(id) && id >= -virtualTokens && id < vocabularySize) return
      throw new OptionError(
        `Token ${t} of row ${n}: got id ${id}, expected an integer below the vocabulary's ${vocabularySize}.`,
      )
    }),
  )
}

/**
 * The feeds of a whole pass over N sequences of T tokens: ids, positions i64 [N, T]; mask,
 * mask.sliding f32 [N, 1, T, T]; rope.cos, rope.sin (and rope.local.*) f32 [P, r/2]. Only what the
 * config's layers read. `rows` is the caller's choice. Throws ShapeError for rows of unequal
 * length, OptionError for an id outside the vocabulary.
 */
export function collectModelFeeds(
  config: ModelConfig,
  { ids, positions, segments }: Sequences,
): Map<string, Tensor> {
  const rows = ids.length
  const tokens = ids[0]?.length ?? 0
  if (rows === 0 || tokens === 0)
    throw new ShapeError(
      'collectModelFeeds: got no tokens, expected at least one row of one token.',
    )
  checkRows('Token ids', ids, rows, tokens)
  if (segments) checkRows('Segments', segments, rows, tokens)
  if (positions) checkRows('Positions', positions, rows, tokens)
  checkIds(ids, config)
  const places = positions?.flat() ?? ids.flatMap((_, n) => computePositions(tokens, segments?.[n]))
  return new Map<string, Tensor>([
    ['ids', i64([rows, tokens], ids.flat())],
    ['positions', i64([rows, tokens], places)],
    ...collectMaskFeeds(config, rows, tokens, segments),
    ...collectRopeFeeds(config, tokens, places),
  ])
}

function collectMaskFeeds(
  { layers }: ModelConfig,
  rows: number,
  tokens: number,
  segments: Sequences['segments'],
): [string, Tensor][] {
  const shared = segments ? { segments } : {}
  const window = layers.find(({ slidingWindow }) => slidingWindow !== undefined)?.slidingWindow
  const full =
    layers.some(({ slidingWindow }) => slidingWindow === undefined) ||
    (window !== undefined && window >= tokens)
  const mask = full ? computeCausalMask(rows, tokens, shared) : undefined
  return [
    ...(mask ? [['mask', mask] satisfies [string, Tensor]] : []),
    ...(window === undefined
      ? []
      : [
          [
            'mask.sliding',
            mask && window >= tokens
              ? mask
              : computeCausalMask(rows, tokens, { ...shared, window }),
          ] satisfies [string, Tensor],
        ]),
  ]
}

/**
 * The rotary tables of a sequence with these positions. ONNX Runtime requires at least T rows, even
 * where positions restart.
 */
function collectRopeFeeds(
  config: ModelConfig,
  tokens: number,
  positions: readonly number[],
): [string, Tensor][] {
  let furthest = 0
  for (const position of positions) furthest = Math.max(furthest, position)
  return collectRopeTableFeeds(config, Math.max(tokens, furthest + 1), furthest + 1)
}

/** Positions of one sequence of this length. */
export interface RopeSpan {
  readonly positions: readonly number[]
  readonly sequenceLength: number
}

/**
 * The feeds rope.cos and rope.sin (and rope.local.*) with a row for each position of each span,
 * concatenated: with dynamic scaling, sequences of different lengths have different angles.
 */
export function collectRopeRowFeeds(
  config: ModelConfig,
  spans: readonly RopeSpan[],
): [string, Tensor][] {
  const { main, local } = config.rope
  const named = [['rope', main] as const, ...(local ? [['rope.local', local] as const] : [])]
  return named.flatMap(([name, rope]) => {
    const made = spans.map(({ positions, sequenceLength }) =>
      computeRopeRows(rope, config, positions, sequenceLength),
    )
    return (['cos', 'sin'] as const).map((part): [string, Tensor] => {
      const half = made[0]![part].shape[1]!
      const rows = made.flatMap((tables) => [...tables[part].data])
      return [`${name}.${part}`, f32([rows.length / half, half], rows)]
    })
  })
}

/**
 * The feeds rope.cos and rope.sin (and rope.local.*) with at least `length` rows, for a sequence of
 * `sequenceLength` tokens.
 */
export function collectRopeTableFeeds(
  config: ModelConfig,
  length: number,
  sequenceLength = length,
): [string, Tensor][] {
  const { main, local } = config.rope
  const named = [['rope', main] as const, ...(local ? [['rope.local', local] as const] : [])]
  return named.flatMap(([name, rope]) => {
    const { cos, sin } = getSharedRopeTables(rope, config, length, sequenceLength)
    return [
      [`${name}.cos`, cos] satisfies [string, Tensor],
      [`${name}.sin`, sin] satisfies [string, Tensor],
    ]
  })
}
