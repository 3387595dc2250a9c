// What a turn's predictions were worth, and the loss's gradient at the hidden states: from logits and the tokens that came, by the head's own
// rows. Knows no tiers and no users.

import { OptionError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { HeadRows } from '../micro/index.ts'
import type { Head } from '../runtime/index.ts'
import { type Note, surveyor } from './survey.ts'

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
  /** What is kept of a row of logits [V]: its sum, and the likeliest tokens where the breadth is a number. */
  note(logits: Float32Array): Note
  /**
   * Losses of `tokens` under logits [T, V], and their gradient W_headᵀ·(p − y) weighted position by position. With a breadth of K, the rest of p
   * is taken to point where the vocabulary does on average: leaving it out instead costs a third of what is learned (docs/learn.md).
   */
  of(logits: F32Tensor, tokens: ArrayLike<number>, weights: ArrayLike<number>): Promise<HeadError>
  /** The same gradient [T, D] from notes, without the logits. Throws OptionError where the breadth is 'all': notes do not hold that much. */
  gradient(places: readonly NotedPlace[]): Promise<Float32Array>
}

const sampled = 4096 // rows that the average is taken over, evenly spread
const fewestRows = 8192 // of the head's matrix that are kept once read: a user's tokens come again and again; 19 MB at width 576
const mostTogether = 32 // positions whose rows are fetched at a time

/** Errors by a model's head. Throws OptionError for a breadth that is no whole number above 0. */
export function headErrors(head: Head, breadth: Breadth = 64): HeadErrors {
  if (breadth !== 'all' && !(Number.isInteger(breadth) && breadth > 0))
    throw new OptionError(`The gradient's breadth is ${breadth}, expected a whole number above 0 or "all".`)
  const survey = surveyor()
  const note = (logits: Float32Array): Note => survey(logits, breadth === 'all' ? 0 : breadth)
  const rows = keptRows(head, breadth === 'all' ? 0 : breadth)
  const gradient = async (places: readonly NotedPlace[]): Promise<Float32Array> => {
    if (breadth === 'all') throw new OptionError('A gradient over the whole vocabulary takes all logits, and notes do not hold them.')
    return partGradient(head, await rows(), places)
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
        gradient: await (breadth === 'all' ? wholeGradient(head, logits, places) : gradient(places)),
      }
    },
  }
}

export const rowOf = ({ data, shape }: F32Tensor, t: number): Float32Array => data.subarray(t * shape[1]!, (t + 1) * shape[1]!)

async function wholeGradient(head: Head, logits: F32Tensor, places: readonly NotedPlace[]): Promise<Float32Array> {
  const errors = f32(logits.shape)
  // The slope of a soft cap where a logit stands, 1 − (l/cap)².
  const damp = (logit: number): number => (head.softcap === 0 ? 1 : 1 - (logit / head.softcap) ** 2)
  places.forEach(({ note: { total }, token, weight }, t) => {
    const [row, error] = [rowOf(logits, t), rowOf(errors, t)]
    for (let i = 0; i < row.length; i++) error[i] = weight * damp(row[i]!) * Math.exp(row[i]! - total)
    error[token]! -= weight * damp(row[token]!)
  })
  return (await head.pullBack(errors)).data
}

/** By position the errors of its tokens times their rows, and what is left of p times the average row. */
async function partGradient(head: Head, rows: HeadRows, places: readonly NotedPlace[]): Promise<Float32Array> {
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

function withToken({ note: { ids, logits, total }, token, logit, weight }: NotedPlace) {
  const isKnown = ids.includes(token)
  return { ids: [...ids, ...(isKnown ? [] : [token])], logits: [...logits, ...(isKnown ? [] : [logit])], total, came: token, weight }
}

/** Sees to it that all of these rows are there at once; while some are read, another call may send others away. */
async function fetched(head: Head, rows: HeadRows, ids: readonly number[]): Promise<void> {
  for (let missing = rows.missing(ids); missing.length > 0; missing = rows.missing(ids)) rows.add(missing, await head.rows(missing))
}

/** Made when first needed. */
function keptRows(head: Head, breadth: number): () => Promise<HeadRows> {
  let made: Promise<HeadRows> | undefined
  const { width, softcap } = head
  const make = async (): Promise<HeadRows> =>
    new HeadRows({ width, capacity: Math.max(fewestRows, breadth + 1), softcap, averageRow: await averageRow(head) })
  return () => (made ??= make())
}

async function averageRow(head: Head): Promise<Float32Array> {
  const step = Math.max(1, Math.floor(head.vocabularySize / sampled))
  const ids = Array.from({ length: Math.floor((head.vocabularySize - 1) / step) + 1 }, (_, i) => i * step)
  const rows = await head.rows(ids)
  const mean = new Float64Array(head.width)
  for (let i = 0; i < rows.length; i++) mean[i % head.width]! += rows[i]! / ids.length
  return Float32Array.from(mean)
}
