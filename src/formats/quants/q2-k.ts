// Q2_K: w = d·s·q − dmin·m, 256 values a block, s and m (4 bits each) per 16 values, q of 2 bits.

import { getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant } from './quant.ts'

/** 16 bytes of s (low nibble) and m (high nibble), 64 bytes of q, d f16, dmin f16. */
export const q2_k: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q2_k', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 84
      const d = f16[readF16(bytes, at + 80)]!
      const dmin = f16[readF16(bytes, at + 82)]!
      for (let group = 0; group < 16; group++) {
        const scale = bytes[at + group]!
        const step = d * (scale & 15)
        const offset = dmin * (scale >> 4)
        // Eight groups share 32 bytes: two halves of 16 bytes, four pairs of bits in each byte.
        const from = at + 16 + (group >> 3) * 32 + (group & 1) * 16
        const shift = ((group >> 1) & 3) * 2
        const to = block * 256 + group * 16
        for (let j = 0; j < 16; j++) out[to + j] = step * ((bytes[from + j]! >> shift) & 3) - offset
      }
    }
  },
}
