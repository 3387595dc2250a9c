// What the IQ blocks share: grids of values, signs of eight weights in a byte, the sign bytes of
// which seven bits are stored.

import { getF16Values } from '../half.ts'
import type { PackedGrid } from './iq-grids.ts'
import { readF16 } from './quant.ts'

const unpacked = new WeakMap<PackedGrid, Float32Array>()

/** All rows of a grid, one after the other. */
export function getGrid(grid: PackedGrid): Float32Array {
  const known = unpacked.get(grid)
  if (known) return known
  const { packed, bits, levels } = grid
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0))
  const perByte = 8 / bits
  const mask = (1 << bits) - 1
  const values = Float32Array.from(
    { length: bytes.length * perByte },
    (_, i) => levels[(bytes[Math.floor(i / perByte)]! >> ((i % perByte) * bits)) & mask]!,
  )
  unpacked.set(grid, values)
  return values
}

/** Seven stored sign bits with the eighth, which makes their number even. */
export function completeSigns(stored: number): number {
  let parity = stored
  parity ^= parity >> 4
  parity ^= parity >> 2
  parity ^= parity >> 1
  return stored | ((parity & 1) << 7)
}

/** factor · values of a grid from `from` on, with a sign bit for each. */
export function writeSigned(
  out: Float32Array,
  to: number,
  factor: number,
  grid: Float32Array,
  { from, count, signs }: { readonly from: number; readonly count: number; readonly signs: number },
): void {
  for (let i = 0; i < count; i++) {
    const value = factor * grid[from + i]!
    out[to + i] = (signs >> i) & 1 ? -value : value
  }
}

export const readScale = (bytes: Uint8Array, position: number): number =>
  getF16Values()[readF16(bytes, position)]!

/** Four bytes, lowest first, as a number of 0 … 2³² − 1. */
export const readWord = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/** The `index`th nibble of the bytes from `at` on, low ones first. */
export const readNibble = (bytes: Uint8Array, at: number, index: number): number =>
  (bytes[at + (index >> 1)]! >> (4 * (index & 1))) & 15
