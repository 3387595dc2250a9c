// What a turn's predictions were worth, and the loss's gradient at the hidden states: from logits
// and the tokens that came, by the head's own rows. Knows no tiers and no users.

import { OptionError } from '../../base/errors.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { createMatrix } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { HeadRows } from '../../micro/index.ts'
import type { Head } from '../../runtime/index.ts'
import { type LogitSummary, createLogitSummarizer } from './logit-summary.ts'
import { type VocabularySample, sampleVocabulary } from './vocabulary-sample.ts'

/**
 * How much of the vocabulary a gradient looks at: the `K` likeliest tokens of each position and the
 * one that came, or all.
 */
export type Breadth = number | 'all'

export interface LossGradient {
  /** −log p(token), by position. */
  readonly losses: Float32Array // [T]
  /** The largest probability, by position. */
  readonly largest: Float32Array // [T]
  /** ∂(Σ weight·loss)/∂h′ [T, D] */
  readonly gradient: Float32Array
}

/** A position of which a note was taken, and what came there. */
export interface ScoredPosition {
  readonly summary: LogitSummary
  readonly token: number
  /** The logit of that token, which the note may lack. */
  readonly logit: number
  readonly weight: number
}

export interface HeadLoss {
  readonly breadth: Breadth
  /**
   * What is kept of a row of logits [V]: its sum, and the likeliest tokens where the breadth is a
   * number.
   */
  summarize(logits: Float32Array): LogitSummary
  /**
   * Losses of `tokens` under logits [T, V], and their gradient W_headᵀ·(p − y) weighted position by
   * position. With a breadth of K, the rest of p is spread over a fixed sample of the vocabulary:
   * leaving it out, or giving it to an average token, costs much of what is learned
   * (docs/learn.md).
   */
  compute(
    logits: F32Tensor,
    tokens: ArrayLike<number>,
    weights: ArrayLike<number>,
  ): Promise<LossGradient>
  /**
   * The same gradient [T, D] from notes, without the logits. Throws OptionError where the breadth
   * is 'all': notes do not hold that much.
   */
  gradient(places: readonly ScoredPosition[]): Promise<Float32Array>
}

const sampledTokens = 1024 // tokens that stand for what lies beyond the likeliest
const minCachedRows = 8192 // of the head's matrix that are kept once read: a user's tokens come again and again; 19 MB at width 576
// of what lies beyond the likeliest: the last hundredths are spread over most of the sample
const keptMass = 0.98
const leastSum = 1e-7 // of the sample's probabilities; below it only rounding is left
const maxBlockPositions = 32 // positions whose rows are fetched at a time

/** Errors by a model's head. Throws OptionError for a breadth that is no whole number above 0. */
export function createHeadLoss(head: Head, breadth: Breadth = 64): HeadLoss {
  if (breadth !== 'all' && !(Number.isInteger(breadth) && breadth > 0))
    throw new OptionError(
      `The gradient's breadth is ${breadth}, expected a whole number above 0 or "all".`,
    )
  const survey = createLogitSummarizer()
  const count = breadth === 'all' ? 0 : breadth
  const sample = sampleVocabulary(head.vocabularySize, breadth === 'all' ? 0 : sampledTokens)
  const summarize = (logits: Float32Array): LogitSummary => survey(logits, count, sample.ids)
  let rows: HeadRows | undefined // takes its memory at once, and who only reads needs none
  let read: Promise<LoadedSample> | undefined
  const readSample = async (): Promise<LoadedSample> => {
    const sampleIndex = new Int32Array(head.vocabularySize).fill(-1)
    sample.ids.forEach((id, place) => (sampleIndex[id] = place))
    return { ...sample, sampleIndex, rows: await head.rows([...sample.ids]) }
  }
  const gradient = async (places: readonly ScoredPosition[]): Promise<Float32Array> => {
    if (breadth === 'all')
      throw new OptionError(
        'A gradient over the whole vocabulary takes all logits, and notes do not hold them.',
      )
    rows ??= new HeadRows({
      width: head.width,
      capacity: Math.max(minCachedRows, count + 1),
      softcap: head.softcap,
    })
    const result = await computeTopKGradient(head, rows, places)
    addSampledGradient(result, {
      places,
      sample: await (read ??= readSample()),
      softcap: head.softcap,
    })
    return result
  }
  return {
    breadth,
    summarize,
    gradient,
    async compute(logits, tokens, weights) {
      const places = Array.from(tokens, (token, t): ScoredPosition => {
        const row = rowOf(logits, t)
        return { summary: summarize(row), token, logit: row[token]!, weight: weights[t]! }
      })
      return {
        losses: Float32Array.from(places, ({ summary: { total }, logit }) => total - logit),
        largest: Float32Array.from(places, ({ summary: { largest } }) => largest),
        gradient: await (breadth === 'all'
          ? computeFullGradient(head, logits, places)
          : gradient(places)),
      }
    },
  }
}

export const rowOf = ({ data, shape }: F32Tensor, t: number): Float32Array =>
  data.subarray(t * shape[1]!, (t + 1) * shape[1]!)

async function computeFullGradient(
  head: Head,
  logits: F32Tensor,
  places: readonly ScoredPosition[],
): Promise<Float32Array> {
  const errors = f32(logits.shape)
  const damp = (logit: number): number => computeSoftcapSlope(head.softcap, logit)
  places.forEach(({ summary: { total }, token, weight }, t) => {
    const row = rowOf(logits, t)
    const error = rowOf(errors, t)
    for (let i = 0; i < row.length; i++)
      error[i] = weight * damp(row[i]!) * Math.exp(row[i]! - total)
    error[token]! -= weight * damp(row[token]!)
  })
  return (await head.pullBack(errors)).data
}

/** By position the errors of its tokens times their rows. */
async function computeTopKGradient(
  head: Head,
  rows: HeadRows,
  places: readonly ScoredPosition[],
): Promise<Float32Array> {
  const gradient = new Float32Array(places.length * head.width)
  const widest = Math.max(...places.map(({ summary }) => summary.ids.length)) + 1
  const together = Math.min(maxBlockPositions, Math.floor(rows.capacity / widest))
  for (let start = 0; start < places.length; start += together) {
    const some = places.slice(start, start + together).map(withTarget)
    await loadRows(head, rows, [...new Set(some.flatMap(({ ids }) => ids))])
    some.forEach((prediction, i) => {
      const at = (start + i) * head.width
      if (prediction.weight !== 0) rows.gradient(prediction, gradient.subarray(at, at + head.width))
    })
  }
  return gradient
}

interface SampledRest {
  readonly places: readonly ScoredPosition[]
  readonly sample: LoadedSample
  readonly softcap: number
}

interface LoadedSample extends VocabularySample {
  readonly rows: Float32Array // [S, D]
  /** Where a token stands among the ids; −1: nowhere. */
  readonly sampleIndex: Int32Array // [V]
}

/**
 * gradient += what is left of p, spread over the sampled tokens as the model spreads it among them,
 * times their rows.
 */
function addSampledGradient(
  gradient: Float32Array,
  { places, sample, softcap }: SampledRest,
): void {
  const size = sample.ids.length
  const errors = new Float32Array(places.length * size)
  places.forEach((place, t) =>
    computeSampledErrors(place, sample, softcap, errors.subarray(t * size, (t + 1) * size)),
  )
  const columns = selectHeaviestColumns(errors, size)
  const width = gradient.length / places.length
  const left = new Float32Array(places.length * columns.length)
  const right = new Float32Array(columns.length * width)
  for (let t = 0; t < places.length; t++)
    for (let i = 0; i < columns.length; i++)
      left[t * columns.length + i] = errors[t * size + columns[i]!]!
  columns.forEach((column, i) =>
    right.set(sample.rows.subarray(column * width, (column + 1) * width), i * width),
  )
  const kernel = getFastKernels().f32
  const product = createMatrix(places.length, width, gradient)
  const factor = createMatrix(places.length, columns.length, left)
  const rows = createMatrix(columns.length, width, right)
  multiply(product, factor, rows, { add: true, kernel })
}

/** One position's: zero where the token is among those looked at. */
function computeSampledErrors(
  { summary, token, logit, weight }: ScoredPosition,
  { counts, sampleIndex }: LoadedSample,
  softcap: number,
  into: Float32Array,
): void {
  const { sample } = summary
  const size = into.length
  let rest = 1
  let sum = 0
  for (let s = 0; s < size; s++) sum += into[s] = counts[s]! * sample[s]!
  const leave = (id: number, share: number): void => {
    rest -= share
    const place = sampleIndex[id]!
    if (place < 0) return
    sum -= into[place]!
    into[place] = 0
  }
  for (const [i, id] of summary.ids.entries())
    if (id !== token) leave(id, computeProbability(summary, summary.logits[i]!))
  leave(token, computeProbability(summary, logit))
  const scale = sum > leastSum && rest > 0 ? (weight * rest) / sum : 0
  for (let s = 0; s < size; s++) into[s]! *= scale
  if (softcap !== 0)
    for (let s = 0; s < size; s++)
      into[s]! *= computeSoftcapSlope(softcap, summary.total + Math.log(sample[s]! || 1))
}

/**
 * The columns that hold nearly all of the errors: a turn's positions agree on which of the sampled
 * tokens are likely at all.
 */
function selectHeaviestColumns(errors: Float32Array, size: number): number[] {
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

const computeProbability = ({ total }: LogitSummary, logit: number): number =>
  Math.exp(logit - total)
/** The slope of a soft cap where a logit stands, 1 − (l/cap)². */
const computeSoftcapSlope = (softcap: number, logit: number): number =>
  softcap === 0 ? 1 : 1 - (logit / softcap) ** 2

function withTarget({ summary: { ids, logits, total }, token, logit, weight }: ScoredPosition) {
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
async function loadRows(head: Head, rows: HeadRows, ids: readonly number[]): Promise<void> {
  for (let missing = rows.missing(ids); missing.length > 0; missing = rows.missing(ids))
    rows.add(missing, await head.rows(missing))
}
