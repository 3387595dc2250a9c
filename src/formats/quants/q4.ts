// Q4_0: w = d·(q − 8). Q4_1: w = d·q + m. 32 values a block; byte j has value j in its low and
// value j + 16 in its high nibble.

import { toF16Bits, getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant, writeF16 } from './quant.ts'
import { computeExtremeScale, computeRangeScale } from './scale.ts'

/** d f16, 16 bytes of nibbles. */
export const q4_0: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q4_0', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 18
      const to = block * 32
      const d = f16[readF16(bytes, at)]!
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 2 + j]!
        out[to + j] = d * ((pair & 15) - 8)
        out[to + 16 + j] = d * ((pair >> 4) - 8)
      }
    }
  },
  quantize(values, out) {
    for (let block = countBlocks('q4_0', out.length, values.length) - 1; block >= 0; block--) {
      const { d, inverse } = computeExtremeScale(values, block * 32, -8)
      writeF16(toF16Bits(d), out, block * 18)
      writeNibbles(out, block * 18 + 2, (j) =>
        roundToLevel(Math.fround(values[block * 32 + j]! * inverse), 8.5),
      )
    }
  },
}

/** d f16, m f16, 16 bytes of nibbles. */
export const q4_1: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q4_1', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 20
      const to = block * 32
      const d = f16[readF16(bytes, at)]!
      const m = f16[readF16(bytes, at + 2)]!
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 4 + j]!
        out[to + j] = d * (pair & 15) + m
        out[to + 16 + j] = d * (pair >> 4) + m
      }
    }
  },
  quantize(values, out) {
    for (let block = countBlocks('q4_1', out.length, values.length) - 1; block >= 0; block--) {
      const { d, inverse, least } = computeRangeScale(values, block * 32, 15)
      writeF16(toF16Bits(d), out, block * 20)
      writeF16(toF16Bits(least), out, block * 20 + 2)
      writeNibbles(out, block * 20 + 4, (j) =>
        roundToLevel(Math.fround(Math.fround(values[block * 32 + j]! - least) * inverse), 0.5),
      )
    }
  },
}

/** Rounds as the reference does: adds in f32, cuts the fraction, keeps 0 … 15. */
const roundToLevel = (scaled: number, offset: number): number =>
  Math.min(Math.trunc(Math.fround(scaled + offset)), 15) & 15

function writeNibbles(out: Uint8Array, position: number, levelOf: (j: number) => number): void {
  for (let j = 0; j < 16; j++) out[position + j] = levelOf(j) | (levelOf(j + 16) << 4)
}
