// Q6_K: w = d·s·(q − 32), 256 values a block, s a signed byte per 16 values, q of 6 bits.

import { getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant } from './quant.ts'

/** 128 bytes of low nibbles, 64 bytes of high pairs, 16 scales, d f16. */
export const q6_k: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let block = countBlocks('q6_k', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 210
      const d = f16[readF16(bytes, at + 208)]!
      for (let group = 0; group < 16; group++) {
        const step = d * signed[at + 192 + group]!
        // Each half of 128 values: 64 bytes of nibbles (low ones first), 32 bytes of pairs, values
        // in four runs of 32.
        const run = (group >> 1) & 3
        const within = (group & 1) * 16
        const lowAt = at + (group >> 3) * 64 + (run & 1) * 32 + within
        const lowShift = (run >> 1) * 4
        const highAt = at + 128 + (group >> 3) * 32 + within
        const highShift = run * 2
        const to = block * 256 + group * 16
        for (let j = 0; j < 16; j++) {
          const q =
            ((bytes[lowAt + j]! >> lowShift) & 15) | (((bytes[highAt + j]! >> highShift) & 3) << 4)
          out[to + j] = step * (q - 32)
        }
      }
    }
  },
}
