// Q3_K: w = d·(s − 32)·q, 256 values a block, s of 6 bits per 16 values, q of 2 bits less 4 where
// its bit in the mask is not set.

import { getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant } from './quant.ts'

/** 32 bytes of mask, 64 bytes of q, 12 bytes of scales, d f16. */
export const q3_k: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q3_k', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 110
      const d = f16[readF16(bytes, at + 108)]!
      for (let group = 0; group < 16; group++) {
        const step = d * (readQ3kScale(bytes, at + 96, group) - 32)
        const half = (group & 1) * 16
        const from = at + 32 + (group >> 3) * 32 + half
        const shift = ((group >> 1) & 3) * 2
        const maskBit = 1 << (group >> 1)
        const to = block * 256 + group * 16
        for (let j = 0; j < 16; j++) {
          const low = (bytes[from + j]! >> shift) & 3
          out[to + j] = step * (bytes[at + half + j]! & maskBit ? low : low - 4)
        }
      }
    }
  },
}

/**
 * Scale 0 … 63: four low bits in the nibbles of bytes 0–7 (groups 8–15 high), two high bits in
 * bytes 8–11, four groups a byte.
 */
export function readQ3kScale(bytes: Uint8Array, at: number, group: number): number {
  const low = (bytes[at + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15
  const high = (bytes[at + 8 + (group & 3)]! >> ((group >> 2) * 2)) & 3
  return low | (high << 4)
}
