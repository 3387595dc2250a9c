// What a turn's predictions were worth, and the loss's gradient at the hidden states: from logits
// and the tokens that came, by the head's own rows. Knows no tiers and no users.

import { OptionError } from '../../base/errors.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { matrixOf } from '../../base/linalg/matrix.ts'
import { fastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { HeadRows } from '../../micro/index.ts'
import type { Head } from '../../runtime/index.ts'
import { type Note, surveyor } from './logit-summary.ts'
import { type VocabularySample, vocabularySample } from './vocabulary-sample.ts'

/**
 * How much of the vocabulary a gradient looks at: the `K` likeliest tokens of each position and the
 * one that came, or all.
 */
export type Breadth = number | 'all'

export interface HeadError {
  /** −log p(token), by position. */
  readonly losses: Float32Array // [T]
  /** The largest probability, by position. */
  readonly largest: Float32Array // [T]
  /** ∂(Σ weight·loss)/∂h′ [T, D] */
  readonly gradient: Float32Array
}

/** A position of which a note was taken, and what came there. */
export interface NotedPlace {
  readonly note: Note
  readonly token: number
  /** The logit of that token, which the note may lack. */
  readonly logit: number
  readonly weight: number
}

export interface HeadErrors {
  readonly breadth: Breadth
  /**
   * What is kept of a row of logits [V]: its sum, and the likeliest tokens where the breadth is a
   * number.
   */
  note(logits: Float32Array): Note
  /**
   * Losses of `tokens` under logits [T, V], and their gradient W_headᵀ·(p − y) weighted position by
   * position. With a breadth of K, the rest of p is spread over a fixed sample of the vocabulary:
   * leaving it out, or giving it to an average token, costs much of what is learned
   * (docs/learn.md).
   */
  of(logits: F32Tensor, tokens: ArrayLike<number>, weights: ArrayLike<number>): Promise<HeadError>
  /**
   * The same gradient [T, D] from notes, without the logits. Throws OptionError where the breadth
   * is 'all': notes do not hold that much.
   */
  gradient(places: readonly NotedPlace[]): Promise<Float32Array>
}

const sampled = 1024 // tokens that stand for what lies beyond the likeliest
const fewestRows = 8192 // of the head's matrix that are kept once read: a user's tokens come again and again; 19 MB at width 576
// of what lies beyond the likeliest: the last hundredths are spread over most of the sample
const keptMass = 0.98
const leastSum = 1e-7 // of the sample's probabilities; below it only rounding is left
const mostTogether = 32 // positions whose rows are fetched at a time

/** Errors by a model's head. Throws OptionError for a breadth that is no whole number above 0. */
export function headErrors(head: Head, breadth: Breadth = 64): HeadErrors {
  if (breadth !== 'all' && !(Number.isInteger(breadth) && breadth > 0))
    throw new OptionError(
      `The gradient's breadth is ${breadth}, expected a whole number above 0 or "all".`,
    )
  const survey = surveyor()
  const count = breadth === 'all' ? 0 : breadth
  const sample = vocabularySample(head.vocabularySize, breadth === 'all' ? 0 : sampled)
  const note = (logits: Float32Array): Note => survey(logits, count, sample.ids)
  let rows: HeadRows | undefined // takes its memory at once, and who only reads needs none
  let read: Promise<Sample> | undefined
  const readSample = async (): Promise<Sample> => {
    const placeOf = new Int32Array(head.vocabularySize).fill(-1)
    sample.ids.forEach((id, place) => (placeOf[id] = place))
    return { ...sample, placeOf, rows: await head.rows([...sample.ids]) }
  }
  const gradient = async (places: readonly NotedPlace[]): Promise<Float32Array> => {
    if (breadth === 'all')
      throw new OptionError(
        'A gradient over the whole vocabulary takes all logits, and notes do not hold them.',
      )
    rows ??= new HeadRows({
      width: head.width,
      capacity: Math.max(fewestRows, count + 1),
      softcap: head.softcap,
    })
    const result = await likeliestGradient(head, rows, places)
    addRest(result, { places, sample: await (read ??= readSample()), softcap: head.softcap })
    return result
  }
  return {
    breadth,
    note,
    gradient,
    async of(logits, tokens, weights) {
      const places = Array.from(tokens, (token, t): NotedPlace => {
        const row = rowOf(logits, t)
        return { note: note(row), token, logit: row[token]!, weight: weights[t]! }
      })
      return {
        losses: Float32Array.from(places, ({ note: { total }, logit }) => total - logit),
        largest: Float32Array.from(places, ({ note: { largest } }) => largest),
        gradient: await (breadth === 'all'
          ? wholeGradient(head, logits, places)
          : gradient(places)),
      }
    },
  }
}

export const rowOf = ({ data, shape }: F32Tensor, t: number): Float32Array =>
  data.subarray(t * shape[1]!, (t + 1) * shape[1]!)

async function wholeGradient(
  head: Head,
  logits: F32Tensor,
  places: readonly NotedPlace[],
): Promise<Float32Array> {
  const errors = f32(logits.shape)
  const damp = (logit: number): number => dampOf(head.softcap, logit)
  places.forEach(({ note: { total }, token, weight }, t) => {
    const row = rowOf(logits, t)
    const error = rowOf(errors, t)
    for (let i = 0; i < row.length; i++)
      error[i] = weight * damp(row[i]!) * Math.exp(row[i]! - total)
    error[token]! -= weight * damp(row[token]!)
  })
  return (await head.pullBack(errors)).data
}

/** By position the errors of its tokens times their rows. */
async function likeliestGradient(
  head: Head,
  rows: HeadRows,
  places: readonly NotedPlace[],
): Promise<Float32Array> {
  const gradient = new Float32Array(places.length * head.width)
  const widest = Math.max(...places.map(({ note }) => note.ids.length)) + 1
  const together = Math.min(mostTogether, Math.floor(rows.capacity / widest))
  for (let start = 0; start < places.length; start += together) {
    const some = places.slice(start, start + together).map(withToken)
    await fetched(head, rows, [...new Set(some.flatMap(({ ids }) => ids))])
    some.forEach((prediction, i) => {
      const at = (start + i) * head.width
      if (prediction.weight !== 0) rows.gradient(prediction, gradient.subarray(at, at + head.width))
    })
  }
  return gradient
}

interface Rest {
  readonly places: readonly NotedPlace[]
  readonly sample: Sample
  readonly softcap: number
}

interface Sample extends VocabularySample {
  readonly rows: Float32Array // [S, D]
  /** Where a token stands among the ids; −1: nowhere. */
  readonly placeOf: Int32Array // [V]
}

/**
 * gradient += what is left of p, spread over the sampled tokens as the model spreads it among them,
 * times their rows.
 */
function addRest(gradient: Float32Array, { places, sample, softcap }: Rest): void {
  const size = sample.ids.length
  const errors = new Float32Array(places.length * size)
  places.forEach((place, t) =>
    restErrors(place, sample, softcap, errors.subarray(t * size, (t + 1) * size)),
  )
  const columns = heaviest(errors, size)
  const width = gradient.length / places.length
  const left = new Float32Array(places.length * columns.length)
  const right = new Float32Array(columns.length * width)
  for (let t = 0; t < places.length; t++)
    for (let i = 0; i < columns.length; i++)
      left[t * columns.length + i] = errors[t * size + columns[i]!]!
  columns.forEach((column, i) =>
    right.set(sample.rows.subarray(column * width, (column + 1) * width), i * width),
  )
  const kernel = fastKernels().f32
  const product = matrixOf(places.length, width, gradient)
  const factor = matrixOf(places.length, columns.length, left)
  const rows = matrixOf(columns.length, width, right)
  multiply(product, factor, rows, { add: true, kernel })
}

/** One position's: zero where the token is among those looked at. */
function restErrors(
  { note, token, logit, weight }: NotedPlace,
  { counts, placeOf }: Sample,
  softcap: number,
  into: Float32Array,
): void {
  const { sample } = note
  const size = into.length
  let rest = 1
  let sum = 0
  for (let s = 0; s < size; s++) sum += into[s] = counts[s]! * sample[s]!
  const leave = (id: number, share: number): void => {
    rest -= share
    const place = placeOf[id]!
    if (place < 0) return
    sum -= into[place]!
    into[place] = 0
  }
  for (const [i, id] of note.ids.entries())
    if (id !== token) leave(id, shareOf(note, note.logits[i]!))
  leave(token, shareOf(note, logit))
  const scale = sum > leastSum && rest > 0 ? (weight * rest) / sum : 0
  for (let s = 0; s < size; s++) into[s]! *= scale
  if (softcap !== 0)
    for (let s = 0; s < size; s++)
      into[s]! *= dampOf(softcap, note.total + Math.log(sample[s]! || 1))
}

/**
 * The columns that hold nearly all of the errors: a turn's positions agree on which of the sampled
 * tokens are likely at all.
 */
function heaviest(errors: Float32Array, size: number): number[] {
  const masses = new Float64Array(size)
  for (let start = 0; start < errors.length; start += size)
    for (let s = 0; s < size; s++) masses[s]! += Math.abs(errors[start + s]!)
  const sorted = masses.slice().sort()
  const wanted = keptMass * sorted.reduce((sum, mass) => sum + mass, 0)
  let at = size
  for (let held = 0; at > 0 && held < wanted;) held += sorted[--at]!
  const least = sorted[at] ?? Infinity
  return Array.from(masses.keys()).filter(
    (column) => masses[column]! >= least && masses[column]! > 0,
  )
}

const shareOf = ({ total }: Note, logit: number): number => Math.exp(logit - total)
/** The slope of a soft cap where a logit stands, 1 − (l/cap)². */
const dampOf = (softcap: number, logit: number): number =>
  softcap === 0 ? 1 : 1 - (logit / softcap) ** 2

function withToken({ note: { ids, logits, total }, token, logit, weight }: NotedPlace) {
  const isKnown = ids.includes(token)
  return {
    ids: [...ids, ...(isKnown ? [] : [token])],
    logits: [...logits, ...(isKnown ? [] : [logit])],
    total,
    came: token,
    weight,
  }
}

/**
 * Sees to it that all of these rows are there at once; while some are read, another call may send
 * others away.
 */
async function fetched(head: Head, rows: HeadRows, ids: readonly number[]): Promise<void> {
  for (let missing = rows.missing(ids); missing.length > 0; missing = rows.missing(ids))
    rows.add(missing, await head.rows(missing))
}
