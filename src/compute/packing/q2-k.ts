// Q2_K and Q3_K in 4 bits with a scale for every 16 values: the smallest form that has a kernel.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import { readQ3kScale } from '../../formats/quants/q3-k.ts'
import type { Packer } from './packer.ts'

/** Eight groups of 16 share 32 bytes: two halves of 16 bytes, four pairs of bits in each byte. */
const readPair = (bytes: Uint8Array, at: number, group: number, j: number): number =>
  (bytes[at + (group >> 3) * 32 + (group & 1) * 16 + j]! >> (((group >> 1) & 3) * 2)) & 3

/** w = d·s·q − dmin·m */
export const q2_k: Packer = {
  bits: 4,
  block: 16,
  withOffsets: true,
  scalesAt: [80, 82],
  unpack(bytes, at, { codes, scales, offsets }) {
    const d = getF16Values()[readF16(bytes, at + 80)]!
    const dmin = getF16Values()[readF16(bytes, at + 82)]!
    for (let group = 0; group < 16; group++) {
      scales[group] = d * (bytes[at + group]! & 15)
      offsets[group] = -dmin * (bytes[at + group]! >> 4)
      for (let j = 0; j < 16; j++) codes[group * 16 + j] = 8 + readPair(bytes, at + 16, group, j)
    }
  },
}

/** w = d·(s − 32)·q, with q less 4 where its bit in the mask is not set */
export const q3_k: Packer = {
  bits: 4,
  block: 16,
  withOffsets: false,
  scalesAt: [108],
  unpack(bytes, at, { codes, scales }) {
    const d = getF16Values()[readF16(bytes, at + 108)]!
    for (let group = 0; group < 16; group++) {
      scales[group] = d * (readQ3kScale(bytes, at + 96, group) - 32)
      for (let j = 0; j < 16; j++) {
        const kept = bytes[at + (group & 1) * 16 + j]! & (1 << (group >> 1))
        codes[group * 16 + j] = readPair(bytes, at + 32, group, j) + (kept ? 8 : 4)
      }
    }
  },
}
