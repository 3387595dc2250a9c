// Q5_0: w = d·(q − 16). Q5_1: w = d·q + m. As Q4_0 and Q4_1, with each value's fifth bit in a
// 32-bit word: bit j belongs to value j.

import { getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant } from './quant.ts'

/** d f16, 4 bytes of fifth bits, 16 bytes of nibbles. */
export const q5_0: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q5_0', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 22
      // -0 keeps the sign of a zero
      writeValues(bytes, at + 2, out, block * 32, f16[readF16(bytes, at)]!, 16, -0)
    }
  },
}

/** d f16, m f16, 4 bytes of fifth bits, 16 bytes of nibbles. */
export const q5_1: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q5_1', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 24
      writeValues(
        bytes,
        at + 4,
        out,
        block * 32,
        f16[readF16(bytes, at)]!,
        0,
        f16[readF16(bytes, at + 2)]!,
      )
    }
  },
}

/** w = d·(q − zero) + m from the fifth bits at `at` and the nibbles behind them. */
function writeValues(
  bytes: Uint8Array,
  at: number,
  out: Float32Array,
  to: number,
  d: number,
  zero: number,
  m: number,
): void {
  const high = readF16(bytes, at) | (readF16(bytes, at + 2) << 16)
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 4 + j]!
    out[to + j] = d * (((pair & 15) | (((high >>> j) & 1) << 4)) - zero) + m
    out[to + 16 + j] = d * (((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) - zero) + m
  }
}
