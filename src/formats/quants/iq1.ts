// IQ1_S and IQ1_M: w = d·(2s + 1)·(g ± ⅛), where g are rows of eight values −1, 0, 1 of a grid.

import { getF16Values } from '../half.ts'
import { iq1_s as packedGrid } from './iq-grids.ts'
import { getGrid, readNibble, readScale } from './iq-shared.ts'
import { countBlocks, type Quant, readF16 } from './quant.ts'

const DELTA = 0.125

function writeRow(
  out: Float32Array,
  to: number,
  factor: number,
  delta: number,
  index: number,
): void {
  const grid = getGrid(packedGrid)
  for (let i = 0; i < 8; i++) out[to + i] = factor * (grid[index * 8 + i]! + delta)
}

/**
 * 256 values: d f16, the low 8 bits of 32 row numbers, then for each 32 values 16 bits: the high
 * three of four row numbers, s, the sign of ⅛.
 */
export const iq1_s: Quant = {
  dequantize(bytes, out) {
    for (let block = countBlocks('iq1_s', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 50
      const d = readScale(bytes, at)
      for (let row = 0; row < 32; row++) {
        const word = readF16(bytes, at + 34 + 2 * (row >> 2)) // 16 bits that are no float
        const high = (word >> (3 * (row & 3))) & 7
        const delta = word & 0x8000 ? -DELTA : DELTA
        const factor = d * (2 * ((word >> 12) & 7) + 1)
        writeRow(out, block * 256 + row * 8, factor, delta, bytes[at + 2 + row]! | (high << 8))
      }
    }
  },
}

/**
 * 256 values: the low 8 bits of 32 row numbers, a nibble for each with its high three bits and the
 * sign of ⅛, then four words of four scales of three bits, whose highest nibbles make d.
 */
export const iq1_m: Quant = {
  dequantize(bytes, out) {
    for (let block = countBlocks('iq1_m', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 56
      let bits = 0
      for (let word = 0; word < 4; word++)
        bits |= (readF16(bytes, at + 48 + 2 * word) >> 12) << (4 * word)
      const d = getF16Values()[bits]!
      for (let row = 0; row < 32; row++) {
        const nibble = readNibble(bytes, at + 32, row)
        const scales = readF16(bytes, at + 48 + 2 * (row >> 3)) // 16 bits that are no float
        const factor = d * (2 * ((scales >> (3 * ((row >> 1) & 3))) & 7) + 1)
        const delta = nibble & 8 ? -DELTA : DELTA
        const index = bytes[at + row]! | ((nibble & 7) << 8)
        writeRow(out, block * 256 + row * 8, factor, delta, index)
      }
    }
  },
}
