// Losses of target tokens under a head's logits, and their gradient at the hidden states, by the
// head's own rows. Independent of tiers and users.

import { joinProblems } from '../../base/schema.ts'
import { OptionError } from '../../base/errors.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { createMatrix } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { HeadRows } from '../../micro/index.ts'
import type { Head } from '../../runtime/index.ts'
import { type LogitSummary, createLogitSummarizer } from './logit-summary.ts'
import { type Breadth, breadthField } from './tier-options.ts'
import { type VocabularySample, sampleVocabulary } from './vocabulary-sample.ts'

export interface LossGradient {
  /** −log p(token), by position. */
  readonly losses: Float32Array // [T]
  /** The largest probability, by position. */
  readonly largest: Float32Array // [T]
  /** ∂(Σ weight·loss)/∂h′ [T, D] */
  readonly gradient: Float32Array
}

/** A position's logit summary and its target token. */
export interface PositionTarget {
  readonly summary: LogitSummary
  readonly token: number
  /** The token's logit, which the summary may lack. */
  readonly logit: number
  readonly weight: number
}

export interface HeadLoss {
  readonly breadth: Breadth
  /**
   * Summary of a row of logits [V]: log-sum-exp, and the top-k tokens where the breadth is a
   * number.
   */
  summarize(logits: Float32Array): LogitSummary
  /**
   * Losses of `tokens` under logits [T, V], and their gradient W_headᵀ·(p − y) weighted position by
   * position. With a breadth of k, the rest of p is spread over a fixed sample of the vocabulary
   * (sampled softmax), because leaving it out, or giving it to an average token, costs much of what
   * is learned (docs/learn-results.md).
   */
  compute(
    logits: F32Tensor,
    tokens: ArrayLike<number>,
    weights: ArrayLike<number>,
  ): Promise<LossGradient>
  /**
   * The same gradient [T, D] from summaries, without the logits. Throws OptionError if the breadth
   * is 'all', because summaries hold only the top k.
   */
  gradient(positions: readonly PositionTarget[]): Promise<Float32Array>
}

const sampledTokens = 1024 // stand for the tokens beyond the top k
// Rows of the head's matrix that are cached, because a user's tokens recur; 19 MB at width 576.
const minCachedRows = 8192
// Of the mass beyond the top k: the last hundredths are spread over most of the sample.
const keptMass = 0.98
const leastSum = 1e-7 // of the sample's probabilities; below it only rounding error remains
const maxBlockPositions = 32 // positions whose rows are fetched at a time

/** Losses and gradients by a model's head. Throws OptionError for an invalid breadth. */
export function createHeadLoss(head: Head, breadth: Breadth = 64): HeadLoss {
  const problems = breadthField.findProblems(breadth, 'breadth')
  if (problems.length > 0) throw new OptionError(`Head loss: ${joinProblems(problems)}`)
  const summarizer = createLogitSummarizer()
  const count = breadth === 'all' ? 0 : breadth
  const sample = sampleVocabulary(head.vocabularySize, breadth === 'all' ? 0 : sampledTokens)
  const summarize = (logits: Float32Array): LogitSummary => summarizer(logits, count, sample.ids)
  // created at the first gradient, because it allocates all its memory
  let rows: HeadRows | undefined
  let loadedSample: Promise<LoadedSample> | undefined
  const readSample = async (): Promise<LoadedSample> => {
    const sampleIndex = new Int32Array(head.vocabularySize).fill(-1)
    sample.ids.forEach((id, index) => (sampleIndex[id] = index))
    return { ...sample, sampleIndex, rows: await head.rows([...sample.ids]) }
  }
  const gradient = async (positions: readonly PositionTarget[]): Promise<Float32Array> => {
    if (breadth === 'all')
      throw new OptionError(
        'A gradient over the whole vocabulary needs all logits, which summaries do not hold.',
      )
    rows ??= new HeadRows({
      width: head.width,
      capacity: Math.max(minCachedRows, count + 1),
      softcap: head.softcap,
    })
    const result = await computeTopKGradient(head, rows, positions)
    addSampledGradient(result, {
      positions,
      sample: await (loadedSample ??= readSample()),
      softcap: head.softcap,
    })
    return result
  }
  return {
    breadth,
    summarize,
    gradient,
    async compute(logits, tokens, weights) {
      const positions = Array.from(tokens, (token, t): PositionTarget => {
        const row = rowOf(logits, t)
        return { summary: summarize(row), token, logit: row[token]!, weight: weights[t]! }
      })
      return {
        losses: Float32Array.from(positions, ({ summary: { total }, logit }) => total - logit),
        largest: Float32Array.from(positions, ({ summary: { largest } }) => largest),
        gradient: await (breadth === 'all'
          ? computeFullGradient(head, logits, positions)
          : gradient(positions)),
      }
    },
  }
}

export const rowOf = ({ data, shape }: F32Tensor, t: number): Float32Array =>
  data.subarray(t * shape[1]!, (t + 1) * shape[1]!)

async function computeFullGradient(
  head: Head,
  logits: F32Tensor,
  positions: readonly PositionTarget[],
): Promise<Float32Array> {
  const errors = f32(logits.shape)
  const damp = (logit: number): number => computeSoftcapSlope(head.softcap, logit)
  positions.forEach(({ summary: { total }, token, weight }, t) => {
    const row = rowOf(logits, t)
    const error = rowOf(errors, t)
    for (let i = 0; i < row.length; i++)
      error[i] = weight * damp(row[i]!) * Math.exp(row[i]! - total)
    error[token]! -= weight * damp(row[token]!)
  })
  return (await head.pullBack(errors)).data
}

/** Each position's errors over its tokens, times their rows. */
async function computeTopKGradient(
  head: Head,
  rows: HeadRows,
  positions: readonly PositionTarget[],
): Promise<Float32Array> {
  const gradient = new Float32Array(positions.length * head.width)
  const widest = Math.max(...positions.map(({ summary }) => summary.ids.length)) + 1
  const together = Math.min(maxBlockPositions, Math.floor(rows.capacity / widest))
  for (let start = 0; start < positions.length; start += together) {
    const some = positions.slice(start, start + together).map(withTarget)
    await loadRows(head, rows, [...new Set(some.flatMap(({ ids }) => ids))])
    some.forEach((prediction, i) => {
      const at = (start + i) * head.width
      if (prediction.weight !== 0) rows.gradient(prediction, gradient.subarray(at, at + head.width))
    })
  }
  return gradient
}

interface SampledRest {
  readonly positions: readonly PositionTarget[]
  readonly sample: LoadedSample
  readonly softcap: number
}

interface LoadedSample extends VocabularySample {
  readonly rows: Float32Array // [S, D]
  /** Index of a token among the ids; −1: not among them. */
  readonly sampleIndex: Int32Array // [V]
}

/**
 * gradient += the rest of p, spread over the sampled tokens in the model's proportions, times their
 * rows.
 */
function addSampledGradient(
  gradient: Float32Array,
  { positions, sample, softcap }: SampledRest,
): void {
  const size = sample.ids.length
  const errors = new Float32Array(positions.length * size)
  positions.forEach((position, t) =>
    computeSampledErrors(position, sample, softcap, errors.subarray(t * size, (t + 1) * size)),
  )
  const columns = selectHeaviestColumns(errors, size)
  const width = gradient.length / positions.length
  const left = new Float32Array(positions.length * columns.length)
  const right = new Float32Array(columns.length * width)
  for (let t = 0; t < positions.length; t++)
    for (let i = 0; i < columns.length; i++)
      left[t * columns.length + i] = errors[t * size + columns[i]!]!
  columns.forEach((column, i) =>
    right.set(sample.rows.subarray(column * width, (column + 1) * width), i * width),
  )
  const kernel = getFastKernels().f32
  const product = createMatrix(positions.length, width, gradient)
  const factor = createMatrix(positions.length, columns.length, left)
  const rows = createMatrix(columns.length, width, right)
  multiply(product, factor, rows, { add: true, kernel })
}

/** One position's errors over the sample: zero where a sampled token is among the top k. */
function computeSampledErrors(
  { summary, token, logit, weight }: PositionTarget,
  { counts, sampleIndex }: LoadedSample,
  softcap: number,
  into: Float32Array,
): void {
  const { sample } = summary
  const size = into.length
  let rest = 1
  let sum = 0
  for (let s = 0; s < size; s++) sum += into[s] = counts[s]! * sample[s]!
  const exclude = (id: number, share: number): void => {
    rest -= share
    const index = sampleIndex[id]!
    if (index < 0) return
    sum -= into[index]!
    into[index] = 0
  }
  for (const [i, id] of summary.ids.entries())
    if (id !== token) exclude(id, computeProbability(summary, summary.logits[i]!))
  exclude(token, computeProbability(summary, logit))
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
/** Slope of the soft cap at a capped logit, 1 − (l/cap)². */
const computeSoftcapSlope = (softcap: number, logit: number): number =>
  softcap === 0 ? 1 : 1 - (logit / softcap) ** 2

function withTarget({ summary: { ids, logits, total }, token, logit, weight }: PositionTarget) {
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
 * Loads until all of these rows are cached at once, because another call may evict some while
 * others are read.
 */
async function loadRows(head: Head, rows: HeadRows, ids: readonly number[]): Promise<void> {
  for (let missing = rows.missing(ids); missing.length > 0; missing = rows.missing(ids))
    rows.add(missing, await head.rows(missing))
}
