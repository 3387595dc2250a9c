// What a memory returns for a query state: shares of the tokens that followed similar states, by a
// softmax over exact dot products in integers (kNN-LM, Khandelwal et al. 2020, arXiv:1911.00172).
// Independent of how entries are chosen and evicted.

import type { MemoryEntries } from './memory-entries.ts'

/** What the memory predicts for the next token. */
export interface Retrieval {
  /** Tokens and their shares, which add up to 1; the nearest entry's token first. */
  readonly tokens: Int32Array
  readonly shares: Float32Array
  /** Σ p·ln p over each token's entries: how its share changes with θ. */
  readonly logs: Float32Array
  /** h·hᵢ of the nearest entry, both of length 1. */
  readonly nearest: number
  /** Entries that took part, and the share of each. */
  readonly entries: Int32Array
  readonly entryShares: Float32Array
}

const QUERY_MAX = 16383
// A query's integers are smaller where an entry of 127s would take a product beyond this.
const SUM_MAX = 2 ** 31 - 1
// Entries whose weight is below e⁻⁷ of the nearest one's are left out, because at 12 the loss is the
// same and thousands take part.
const WEIGHT_CUTOFF = 7

/**
 * Writes the state as integers. Returns the factor that turns their dot products with entries into
 * those of vectors of length 1; undefined for a state without a direction.
 */
export function encodeQuery(
  hidden: Float32Array,
  into: Int16Array,
  rowMax: number,
): number | undefined {
  let largest = 0
  let square = 0
  let sum = 0
  for (const value of hidden) {
    const size = Math.abs(value)
    largest = Math.max(largest, size)
    square += value * value
    sum += size
  }
  if (!(largest > 0 && square < Infinity)) return undefined
  const factor = Math.min(QUERY_MAX / largest, SUM_MAX / rowMax / (sum + largest))
  for (let i = 0; i < hidden.length; i++) into[i] = Math.round(hidden[i]! * factor)
  return 1 / (factor * Math.sqrt(square))
}

/** Dot products of one query with all entries, and the factor from `encodeQuery`. */
export interface QueryProducts {
  readonly sums: Int32Array // [count]
  readonly scale: number
}

/** Shares ∝ Σ exp(θ·h·hᵢ) of the tokens of a memory's entries. */
export function computeRetrieval(
  { count, scales, tokens }: MemoryEntries,
  { sums, scale }: QueryProducts,
  sharpness: number,
): Retrieval {
  let best = -Infinity
  for (let i = 0; i < count; i++) {
    const value = sums[i]! * scales[i]!
    if (value > best) best = value
  }
  const floor = best - WEIGHT_CUTOFF / (sharpness * scale)
  const found: number[] = []
  for (let i = 0; i < count; i++) if (sums[i]! * scales[i]! >= floor) found.push(i)
  const nearest = best * scale
  const weights = Float32Array.from(found, (i) =>
    Math.exp(sharpness * (sums[i]! * scales[i]! * scale - nearest)),
  )
  return {
    ...computeTokenShares(found, weights, tokens),
    nearest: Math.min(1, nearest),
  }
}

/** Adds up the entries' weights by token; the weights become shares in place. */
function computeTokenShares(
  found: readonly number[],
  weights: Float32Array,
  tokens: Int32Array,
): Omit<Retrieval, 'nearest'> {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const byToken = new Map<number, { share: number; log: number }>()
  let first = 0
  let most = -1
  found.forEach((entry, i) => {
    const part = (weights[i]! /= total)
    const token = tokens[entry]!
    const known = byToken.get(token) ?? { share: 0, log: 0 }
    known.share += part
    known.log += part * Math.log(Math.max(part, 1e-30))
    byToken.set(token, known)
    if (part > most) {
      first = token
      most = part
    }
  })
  const ordered = [first, ...[...byToken.keys()].filter((token) => token !== first)]
  return {
    tokens: Int32Array.from(ordered),
    shares: Float32Array.from(ordered, (token) => byToken.get(token)!.share),
    logs: Float32Array.from(ordered, (token) => byToken.get(token)!.log),
    entries: Int32Array.from(found),
    entryShares: weights,
  }
}
