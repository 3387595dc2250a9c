// Q4_K and Q5_K: w = d·s·q − dmin·m, 256 values a block, s and m of 6 bits per 32 values, q of 4 or
// 5 bits.

import { getF16Values } from '../half.ts'
import { countBlocks, readF16, type Quant } from './quant.ts'

/** d f16, dmin f16, 12 bytes of scales, 128 bytes of nibbles. */
export const q4_k: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q4_k', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 144
      const d = f16[readF16(bytes, at)]!
      const dmin = f16[readF16(bytes, at + 2)]!
      for (let group = 0; group < 8; group++) {
        const step = d * readQ4kScale(bytes, at + 4, group)
        const offset = dmin * readQ4kMinimum(bytes, at + 4, group)
        const from = at + 16 + (group >> 1) * 32
        const shift = (group & 1) * 4
        const to = block * 256 + group * 32
        for (let j = 0; j < 32; j++)
          out[to + j] = step * ((bytes[from + j]! >> shift) & 15) - offset
      }
    }
  },
}

/**
 * d f16, dmin f16, 12 bytes of scales, 32 bytes of fifth bits (bit g of byte j for value j of group
 * g), 128 bytes of nibbles.
 */
export const q5_k: Quant = {
  dequantize(bytes, out) {
    const f16 = getF16Values()
    for (let block = countBlocks('q5_k', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 176
      const d = f16[readF16(bytes, at)]!
      const dmin = f16[readF16(bytes, at + 2)]!
      for (let group = 0; group < 8; group++) {
        const step = d * readQ4kScale(bytes, at + 4, group)
        const offset = dmin * readQ4kMinimum(bytes, at + 4, group)
        const from = at + 48 + (group >> 1) * 32
        const shift = (group & 1) * 4
        const to = block * 256 + group * 32
        for (let j = 0; j < 32; j++) {
          const fifth = ((bytes[at + 16 + j]! >> group) & 1) << 4
          out[to + j] = step * (((bytes[from + j]! >> shift) & 15) | fifth) - offset
        }
      }
    }
  },
}

/**
 * Groups 0–3: six low bits of bytes 0–3. Groups 4–7: low nibbles of bytes 8–11 and the two high
 * bits of bytes 0–3.
 */
export const readQ4kScale = (bytes: Uint8Array, at: number, group: number): number =>
  group < 4
    ? bytes[at + group]! & 63
    : (bytes[at + 4 + group]! & 15) | ((bytes[at + group - 4]! >> 6) << 4)

/**
 * Groups 0–3: six low bits of bytes 4–7. Groups 4–7: high nibbles of bytes 8–11 and the two high
 * bits of bytes 4–7.
 */
export const readQ4kMinimum = (bytes: Uint8Array, at: number, group: number): number =>
  group < 4
    ? bytes[at + 4 + group]! & 63
    : (bytes[at + 4 + group]! >> 4) | ((bytes[at + group]! >> 6) << 4)
