// What a turn's predictions were worth, and the loss's gradient at the hidden states: from logits and the tokens that came, by the head's own
// rows. Knows no tiers and no users.

import { fastKernels } from '../base/linalg/simd.ts'
import { multiply } from '../base/linalg/matmul.ts'
import { matrixOf } from '../base/linalg/matrix.ts'
import { OptionError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { Head } from '../runtime/index.ts'

/** How much of the vocabulary a gradient looks at: the `K` likeliest tokens of each position and the one that came, or all. */
export type Breadth = number | 'all'

export interface HeadError {
  /** −log p(token), by position. */
  readonly losses: Float32Array // [T]
  /** The largest probability, by position. */
  readonly largest: Float32Array // [T]
  /** ∂(Σ weight·loss)/∂h′ [T, D] */
  readonly gradient: Float32Array
}

export interface HeadErrors {
  /**
   * Losses of `tokens` under logits [T, V], and their gradient W_headᵀ·(p − y) weighted position by position. With a breadth of K, the rest of p
   * is taken to point where the vocabulary does on average: leaving it out instead costs a third of what is learned (docs/learn.md).
   */
  of(logits: F32Tensor, tokens: ArrayLike<number>, weights: ArrayLike<number>): Promise<HeadError>
}

const sampled = 4096 // rows that the average is taken over, evenly spread

/** Errors by a model's head. Throws OptionError for a breadth that is no whole number above 0. */
export function headErrors(head: Head, breadth: Breadth = 64): HeadErrors {
  if (breadth !== 'all' && !(Number.isInteger(breadth) && breadth > 0))
    throw new OptionError(`The gradient's breadth is ${breadth}, expected a whole number above 0 or "all".`)
  const rows = keptRows(head)
  let average: Promise<Float32Array> | undefined
  return {
    async of(logits, tokens, weights) {
      const seen = looked(logits, tokens, breadth)
      const damp = dampOf(logits.data, head.softcap)
      const gradient =
        breadth === 'all'
          ? await wholeGradient(head, seen, tokens, weights, damp)
          : await partGradient(seen, { head, tokens, weights, damp, rows, average: await (average ??= averageRow(head)) })
      return { losses: seen.losses, largest: seen.largest, gradient }
    },
  }
}

interface Seen {
  readonly logits: Float32Array
  readonly width: number // V
  /** log Σ exp(logits), by position. */
  readonly totals: Float64Array // [T]
  readonly losses: Float32Array
  readonly largest: Float32Array
  /** The likeliest tokens of each position, where asked for. */
  readonly likeliest: readonly (readonly number[])[]
}

const shareAt = ({ logits, width, totals }: Seen, t: number, token: number): number => Math.exp(logits[t * width + token]! - totals[t]!)

function looked({ data, shape }: F32Tensor, tokens: ArrayLike<number>, breadth: Breadth): Seen {
  const [count, width] = shape as [number, number]
  const totals = new Float64Array(count)
  const [losses, largest] = [new Float32Array(count), new Float32Array(count)]
  const likeliest: number[][] = []
  for (let t = 0; t < count; t++) {
    const row = data.subarray(t * width, (t + 1) * width)
    const { top, sum, bar } = survey(row, breadth === 'all' ? 0 : breadth)
    totals[t] = top + Math.log(sum)
    losses[t] = totals[t]! - row[tokens[t]!]!
    largest[t] = 1 / sum
    if (breadth !== 'all') likeliest.push(above(row, bar, breadth))
  }
  return { logits: data, width, totals, losses, largest, likeliest }
}

const reach = 20 // nats below the largest logit; what lies further down adds less than a ten-thousandth, and is counted at that bound
const fine = 256 // entries of the table a nat: between two of them a line is off by 2e-6
let table: Float64Array | undefined

/** One pass over a row: Σ exp(l − top), and a bar that at least `count` logits reach, to a quarter of a nat. The table is half of an exp's time. */
function survey(row: Float32Array, count: number): { top: number; sum: number; bar: number } {
  const exps = (table ??= Float64Array.from({ length: reach * fine + 2 }, (_, i) => Math.exp(-i / fine)))
  const bins = new Int32Array(4 * reach + 1)
  const size = row.length
  let top = -Infinity
  for (let i = 0; i < size; i++) if (row[i]! > top) top = row[i]!
  let [sum, far] = [0, 0]
  for (let i = 0; i < size; i++) {
    const at = (top - row[i]!) * fine
    if (!(at < reach * fine)) {
      far++
      continue
    }
    const entry = at | 0
    const low = exps[entry]!
    sum += low + (at - entry) * (exps[entry + 1]! - low)
    bins[entry >> 6]!++
  }
  let [bin, reached] = [0, 0]
  while (bin < 4 * reach && reached < count) reached += bins[bin++]!
  return { top, sum: sum + (far * Math.exp(-reach)) / 2, bar: reached < count ? -Infinity : top - bin / 4 }
}

/** The `count` largest of those above the bar. */
function above(row: Float32Array, bar: number, count: number): number[] {
  const found: number[] = []
  for (let i = 0, size = row.length; i < size; i++) if (row[i]! >= bar) found.push(i)
  return found.length <= count ? found : found.toSorted((a, b) => row[b]! - row[a]!).slice(0, count)
}

/** The slope of a soft cap where a logit stands, 1 − (l/cap)². */
const dampOf =
  (logits: Float32Array, softcap: number) =>
  (index: number): number =>
    softcap === 0 ? 1 : 1 - (logits[index]! / softcap) ** 2

async function wholeGradient(
  head: Head,
  { logits, width, totals }: Seen,
  tokens: ArrayLike<number>,
  weights: ArrayLike<number>,
  damp: (index: number) => number,
): Promise<Float32Array> {
  const errors = f32([totals.length, width])
  for (let t = 0; t < totals.length; t++) {
    for (let i = t * width; i < (t + 1) * width; i++) errors.data[i] = weights[t]! * damp(i) * Math.exp(logits[i]! - totals[t]!)
    const at = t * width + tokens[t]!
    errors.data[at]! -= weights[t]! * damp(at)
  }
  return (await head.pullBack(errors)).data
}

interface Part {
  readonly head: Head
  readonly tokens: ArrayLike<number>
  readonly weights: ArrayLike<number>
  readonly damp: (index: number) => number
  readonly rows: (ids: readonly number[]) => Promise<Float32Array>
  readonly average: Float32Array
}

/** One small product: the errors of the turn's tokens, each once, times their rows, and the rest of each position times the average row. */
async function partGradient(seen: Seen, { head, tokens, weights, damp, rows, average }: Part): Promise<Float32Array> {
  const { width, likeliest } = seen
  const count = likeliest.length
  const columns = new Map<number, number>()
  const entries: { t: number; column: number; error: number }[] = []
  const rests = new Float32Array(count)
  const add = (t: number, token: number, error: number): void => {
    const column = columns.get(token) ?? columns.size
    columns.set(token, column)
    entries.push({ t, column, error: error * weights[t]! * damp(t * width + token) })
  }
  for (let t = 0; t < count; t++) {
    const came = tokens[t]!
    let rest = 1
    for (const token of new Set([...likeliest[t]!, came])) {
      const share = shareAt(seen, t, token)
      rest -= share
      add(t, token, share - (token === came ? 1 : 0))
    }
    rests[t] = Math.max(0, rest) * weights[t]!
  }
  const size = columns.size + 1 // the last one is the average row
  const errors = new Float32Array(count * size)
  for (const { t, column, error } of entries) errors[t * size + column] = error
  rests.forEach((rest, t) => (errors[t * size + size - 1] = rest))
  const matrix = new Float32Array(size * head.width)
  matrix.set(await rows([...columns.keys()]))
  matrix.set(average, (size - 1) * head.width)
  const gradient = new Float32Array(count * head.width)
  multiply(matrixOf(count, head.width, gradient), matrixOf(count, size, errors), matrixOf(size, head.width, matrix), {
    kernel: fastKernels().f32,
  })
  return gradient
}

/** Rows of the head by token, kept once read: a user's tokens come again and again. */
function keptRows(head: Head): (ids: readonly number[]) => Promise<Float32Array> {
  const kept = new Map<number, Float32Array>()
  const limit = 8192 // rows; 19 MB at width 576
  return async (ids) => {
    const missing = ids.filter((id) => !kept.has(id))
    const read = missing.length > 0 ? await head.rows(missing) : new Float32Array(0)
    if (kept.size + missing.length > limit) for (const id of [...kept.keys()].filter((token) => !ids.includes(token))) kept.delete(id)
    missing.forEach((id, i) => kept.set(id, read.slice(i * head.width, (i + 1) * head.width)))
    const result = new Float32Array(ids.length * head.width)
    ids.forEach((id, i) => result.set(kept.get(id)!, i * head.width))
    return result
  }
}

async function averageRow(head: Head): Promise<Float32Array> {
  const step = Math.max(1, Math.floor(head.vocabularySize / sampled))
  const ids = Array.from({ length: Math.floor((head.vocabularySize - 1) / step) + 1 }, (_, i) => i * step)
  const rows = await head.rows(ids)
  const mean = new Float64Array(head.width)
  for (let i = 0; i < rows.length; i++) mean[i % head.width]! += rows[i]! / ids.length
  return Float32Array.from(mean)
}
