// Q6_K as 8-bit codes with a scale for every 16 values: w = d·s·(q − 32).

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import type { Packer } from './packer.ts'

export const q6_k: Packer = {
  bits: 8,
  block: 16,
  withOffsets: false,
  scalesAt: [208],
  unpack(bytes, at, { codes, scales }) {
    const d = getF16Values()[readF16(bytes, at + 208)]!
    for (let group = 0; group < 16; group++) {
      scales[group] = d * ((bytes[at + 192 + group]! << 24) >> 24) // a signed byte
      // Each half of 128 values: 64 bytes of nibbles (low ones first), 32 bytes of pairs, values in
      // four runs of 32.
      const run = (group >> 1) & 3
      const within = (group & 1) * 16
      const lowAt = at + (group >> 3) * 64 + (run & 1) * 32 + within
      const highAt = at + 128 + (group >> 3) * 32 + within
      for (let j = 0; j < 16; j++) {
        const q =
          ((bytes[lowAt + j]! >> ((run >> 1) * 4)) & 15) |
          (((bytes[highAt + j]! >> (run * 2)) & 3) << 4)
        codes[group * 16 + j] = q + (128 - 32)
      }
    }
  },
}
