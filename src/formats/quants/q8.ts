// Q8_0: w = d·q, 32 signed bytes a block behind the f16 scale.

import { toF16Bits, getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant, writeF16 } from './quant.ts'
import { computeExtremeScale } from './scale.ts'

export const q8_0: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let block = countBlocks('q8_0', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 34
      const d = f16[readF16(bytes, at)]!
      for (let j = 0; j < 32; j++) out[block * 32 + j] = d * signed[at + 2 + j]!
    }
  },
  quantize(values, out) {
    for (let block = countBlocks('q8_0', out.length, values.length) - 1; block >= 0; block--) {
      const extremeScale = computeExtremeScale(values, block * 32, 127)
      const d = Math.abs(extremeScale.d)
      const inverse = Math.abs(extremeScale.inverse)
      writeF16(toF16Bits(d), out, block * 34)
      for (let j = 0; j < 32; j++)
        out[block * 34 + 2 + j] = roundAwayFromZero(Math.fround(values[block * 32 + j]! * inverse))
    }
  },
}

/** Rounds halves away from zero, as C's roundf. */
const roundAwayFromZero = (value: number): number =>
  Math.sign(value) * Math.floor(Math.abs(value) + 0.5)
