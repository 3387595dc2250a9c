// IQ3_XXS: w = ±d·(s + ½)/2·g. IQ3_S: w = ±d·(1 + 2s)·g. g are rows of four values of a grid.

import { iq3_s as gridS, iq3_xxs as gridXxs } from './iq-grids.ts'
import {
  completeSigns,
  getGrid,
  readNibble,
  readScale,
  readWord,
  writeSigned,
} from './iq-shared.ts'
import { countBlocks, type Quant } from './quant.ts'

/** 256 values: d f16, 64 row numbers, then for each 32 values four signs of 7 bits with s. */
export const iq3_xxs: Quant = {
  dequantize(bytes, out) {
    const grid = getGrid(gridXxs)
    for (let block = countBlocks('iq3_xxs', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 98
      const d = readScale(bytes, at)
      for (let row = 0; row < 64; row++) {
        const word = readWord(bytes, at + 66 + 4 * (row >> 3))
        const signs = completeSigns((word >>> (7 * ((row >> 1) & 3))) & 127)
        const factor = d * (0.5 + (word >>> 28)) * 0.5
        writeSigned(out, block * 256 + row * 4, factor, grid, {
          from: bytes[at + 2 + row]! * 4,
          count: 4,
          signs: signs >> (4 * (row & 1)),
        })
      }
    }
  },
}

/**
 * 256 values: d f16, the low 8 bits of 64 row numbers, their ninth bits, 32 bytes of signs, 8
 * scales of 4 bits.
 */
export const iq3_s: Quant = {
  dequantize(bytes, out) {
    const grid = getGrid(gridS)
    for (let block = countBlocks('iq3_s', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 110
      const d = readScale(bytes, at)
      for (let row = 0; row < 64; row++) {
        const high = (bytes[at + 66 + (row >> 3)]! >> (row & 7)) & 1
        const factor = d * (1 + 2 * readNibble(bytes, at + 106, row >> 3))
        writeSigned(out, block * 256 + row * 4, factor, grid, {
          from: (bytes[at + 2 + row]! | (high << 8)) * 4,
          count: 4,
          signs: bytes[at + 74 + (row >> 1)]! >> (4 * (row & 1)),
        })
      }
    }
  },
}
