// Shared by methods with a sign election: sums over adapters, and the mean of the entries that
// agree with the elected sign. The agreement is nearly random, so a branch on it would often be
// mispredicted; comparisons are arithmetic on float bits instead.

import { computeElectedMeanSimd } from './sign-election-simd.ts'
import { toBits, toMagnitude, trimBelow } from './magnitude-threshold.ts'

/** Entries processed at a time: they fit the first-level cache. */
const chunk = 1024

const totals = new Float64Array(chunk)
/** The upper half of each total, with its sign: platforms are little-endian. */
const totalBits = new Int32Array(totals.buffer)
const sums = new Float64Array(chunk)
const shares = new Float64Array(chunk)
const codes = new Uint8Array(chunk)

/** totals = Σ w_k·t_k, of `size` entries from `start` on. */
function computeTotals(
  rows: readonly Float32Array[],
  weights: readonly number[],
  start: number,
  size: number,
): void {
  totals.fill(0, 0, size)
  let k = 0
  // Two adapters at a time: the totals are read and written half as often.
  for (; k + 1 < rows.length; k += 2) {
    const one = rows[k]!
    const two = rows[k + 1]!
    const w1 = weights[k]!
    const w2 = weights[k + 1]!
    for (let i = 0; i < size; i++) totals[i]! += w1 * one[start + i]! + w2 * two[start + i]!
  }
  if (k === rows.length) return
  const row = rows[k]!
  const weight = weights[k]!
  for (let i = 0; i < size; i++) totals[i]! += weight * row[start + i]!
}

/** out = Σ w_k·t_k */
export function addWeighted(
  rows: readonly Float32Array[],
  weights: readonly number[],
  out: Float32Array,
): void {
  for (let start = 0; start < out.length; start += chunk) {
    const size = Math.min(chunk, out.length - start)
    computeTotals(rows, weights, start, size)
    for (let i = 0; i < size; i++) out[start + i] = totals[i]!
  }
}

/** Where no entry agrees, 0/tiny is 0. Not a denormal number: those are slow. */
const tiny = 1e-200

/** Adapters whose agreement fits one byte. */
const groupSize = 8

/**
 * The disjoint mean of TIES (Yadav et al. 2023, arXiv:2306.01708; weighted as in mergekit): s is
 * the sign of Σ w_k·t_k, + where that is 0, and out = Σ w_k·t_k·m_k / Σ w_k·m_k over the entries m
 * whose sign is s; 0 if there are none. Weights ≥ 0. Entries whose bits are below the adapter's
 * threshold count as 0; rows may be changed.
 */
export function computeElectedMean(
  rows: readonly Float32Array[],
  weights: readonly number[],
  out: Float32Array,
  thresholds: readonly number[] = [],
): void {
  if (computeElectedMeanSimd(rows, weights, thresholds.map(toMagnitude), out)) return
  thresholds.forEach((threshold, k) => trimBelow(rows[k]!, threshold))
  computeElectedMeanScalar(rows, weights, out)
}

/** The same one number at a time, in double precision. */
export function computeElectedMeanScalar(
  rows: readonly Float32Array[],
  weights: readonly number[],
  out: Float32Array,
): void {
  const bits = rows.map(toBits)
  const groups = Array.from(
    { length: Math.ceil(rows.length / groupSize) },
    (_, group) => group * groupSize,
  )
  const subsets = groups.map((first) => sumSubsets(weights.slice(first, first + groupSize)))
  for (let start = 0; start < out.length; start += chunk) {
    const size = Math.min(chunk, out.length - start)
    computeTotals(rows, weights, start, size)
    sums.fill(0, 0, size)
    shares.fill(tiny, 0, size)
    groups.forEach((first, group) => {
      codes.fill(0, 0, size)
      const last = Math.min(first + groupSize, rows.length)
      for (let k = first; k < last; k++)
        addAgreeing(rows[k]!, bits[k]!, weights[k]!, 1 << (k - first), start, size)
      for (let i = 0, weightOf = subsets[group]!; i < size; i++) shares[i]! += weightOf[codes[i]!]!
    })
    for (let i = 0; i < size; i++) out[start + i] = sums[i]! / shares[i]!
  }
}

/**
 * Adds entries of the total's sign to the sums, and notes the adapter's bit where one that is not
 * zero was added.
 */
function addAgreeing(
  row: Float32Array,
  bits: Int32Array,
  weight: number,
  adapter: number,
  start: number,
  size: number,
): void {
  for (let i = 0; i < size; i++) {
    const value = bits[start + i]!
    // all ones, or zero
    const kept = (-(value & 0x7fffffff) >> 31) & ~((value ^ totalBits[2 * i + 1]!) >> 31)
    sums[i]! += weight * row[start + i]! * (kept & 1)
    codes[i]! |= adapter & kept
  }
}

/** For every set of adapters, written as bits, the sum of their weights. */
function sumSubsets(weights: readonly number[]): Float64Array {
  const result = new Float64Array(1 << weights.length)
  for (let set = 1; set < result.length; set++) {
    const last = 31 - Math.clz32(set)
    result[set] = result[set ^ (1 << last)]! + weights[last]!
  }
  return result
}
