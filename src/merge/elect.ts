// What methods with a sign election share: sums over adapters, and the mean of the entries that agree with the elected sign. Which entries agree
// is as good as random, so nothing here branches on it: comparisons are arithmetic on float bits.

import { bitsOf } from './trim.ts'

let totals = new Float64Array(0)
/** The upper half of each total, with its sign: platforms are little-endian. */
let totalBits = new Int32Array(0)
/** All ones where the elected sign is −, else zero. */
let signs = new Int32Array(0)
let shares = new Float64Array(0)
let codes = new Uint8Array(0)

function room(size: number): void {
  if (totals.length >= size) return
  ;[totals, shares] = [new Float64Array(size), new Float64Array(size)]
  ;[totalBits, signs, codes] = [new Int32Array(totals.buffer), new Int32Array(size), new Uint8Array(size)]
}

/** totals = Σ w_k·t_k */
function total(rows: readonly Float32Array[], weights: readonly number[], size: number): void {
  rows.forEach((row, k) => {
    const weight = weights[k]!
    if (k === 0) for (let i = 0; i < size; i++) totals[i] = weight * row[i]!
    else for (let i = 0; i < size; i++) totals[i]! += weight * row[i]!
  })
}

/** out = Σ w_k·t_k */
export function addWeighted(rows: readonly Float32Array[], weights: readonly number[], out: Float32Array): void {
  room(out.length)
  total(rows, weights, out.length)
  for (let i = 0; i < out.length; i++) out[i] = totals[i]!
}

/**
 * The disjoint mean of TIES (Yadav et al. 2023, arXiv:2306.01708; weighted as in mergekit): s is the sign of Σ w_k·t_k, + where that is 0, and
 * out = Σ w_k·t_k·m_k / Σ w_k·m_k over the entries m whose sign is s; 0 where there are none. Weights ≥ 0. The rows keep only those entries.
 */
export function electedMean(rows: readonly Float32Array[], weights: readonly number[], out: Float32Array): void {
  const size = out.length
  room(size)
  total(rows, weights, size)
  for (let i = 0; i < size; i++) signs[i] = totalBits[2 * i + 1]! >> 31
  shares.fill(Number.MIN_VALUE, 0, size) // so that no entry at all gives 0/tiny = 0
  for (let first = 0; first < rows.length; first += groupSize) {
    const group = rows.slice(first, first + groupSize)
    codes.fill(0, 0, size)
    group.forEach((row, k) => keepAgreeing(bitsOf(row), 1 << k))
    const sums = subsetSums(weights.slice(first, first + groupSize))
    for (let i = 0; i < size; i++) shares[i]! += sums[codes[i]!]!
  }
  total(rows, weights, size)
  for (let i = 0; i < size; i++) out[i] = totals[i]! / shares[i]!
}

/** Adapters whose agreement fits one byte. */
const groupSize = 8

/** Clears entries of the other sign, and notes the adapter's bit where an entry that is not zero stays. */
function keepAgreeing(bits: Int32Array, adapter: number): void {
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i]!
    const notZero = -(value & 0x7fffffff) >> 31
    const kept = notZero & ~((value ^ signs[i]!) >> 31)
    bits[i] = value & kept
    codes[i]! |= adapter & kept
  }
}

/** For every set of adapters, written as bits, the sum of their weights. */
function subsetSums(weights: readonly number[]): Float64Array {
  const sums = new Float64Array(1 << weights.length)
  for (let set = 1; set < sums.length; set++) {
    const last = 31 - Math.clz32(set)
    sums[set] = sums[set ^ (1 << last)]! + weights[last]!
  }
  return sums
}
