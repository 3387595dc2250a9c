// IQ2_XXS, IQ2_XS and IQ2_S: w = ±d·(s + ½)/4·g, where g are rows of eight values of a grid.

import { iq2_s as gridS, iq2_xs as gridXs, iq2_xxs as gridXxs } from './iq-grids.ts'
import {
  completeSigns,
  getGrid,
  readNibble,
  readScale,
  readWord,
  writeSigned,
} from './iq-shared.ts'
import { countBlocks, type Quant, readF16 } from './quant.ts'

const computeFactor = (d: number, scale: number): number => d * (0.5 + scale) * 0.25

/** 256 values: d f16, then for each 32 values four row numbers, and four signs of 7 bits with s. */
export const iq2_xxs: Quant = {
  dequantize(bytes, out) {
    const grid = getGrid(gridXxs)
    for (let block = countBlocks('iq2_xxs', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 66
      const d = readScale(bytes, at)
      for (let group = 0; group < 8; group++) {
        const from = at + 2 + group * 8
        const word = readWord(bytes, from + 4)
        const factor = computeFactor(d, word >>> 28)
        for (let row = 0; row < 4; row++)
          writeSigned(out, block * 256 + group * 32 + row * 8, factor, grid, {
            from: bytes[from + row]! * 8,
            count: 8,
            signs: completeSigns((word >>> (7 * row)) & 127),
          })
      }
    }
  },
}

/** 256 values: d f16, 32 words of a row number (9 bits) and signs (7 bits), 16 scales of 4 bits. */
export const iq2_xs: Quant = {
  dequantize(bytes, out) {
    const grid = getGrid(gridXs)
    for (let block = countBlocks('iq2_xs', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 74
      const d = readScale(bytes, at)
      for (let row = 0; row < 32; row++) {
        const word = readF16(bytes, at + 2 + 2 * row) // 16 bits that are no float
        const factor = computeFactor(d, readNibble(bytes, at + 66, row >> 1))
        writeSigned(out, block * 256 + row * 8, factor, grid, {
          from: (word & 511) * 8,
          count: 8,
          signs: completeSigns(word >> 9),
        })
      }
    }
  },
}

/**
 * 256 values: d f16, the low 8 bits of 32 row numbers, 32 bytes of signs, the high 2 bits of the
 * row numbers, 16 scales of 4 bits.
 */
export const iq2_s: Quant = {
  dequantize(bytes, out) {
    const grid = getGrid(gridS)
    for (let block = countBlocks('iq2_s', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 82
      const d = readScale(bytes, at)
      for (let row = 0; row < 32; row++) {
        const high = (bytes[at + 66 + (row >> 2)]! >> (2 * (row & 3))) & 3
        const factor = computeFactor(d, readNibble(bytes, at + 74, row >> 1))
        writeSigned(out, block * 256 + row * 8, factor, grid, {
          from: (bytes[at + 2 + row]! | (high << 8)) * 8,
          count: 8,
          signs: bytes[at + 34 + row]!,
        })
      }
    }
  },
}
