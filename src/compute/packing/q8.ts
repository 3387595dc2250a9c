// Q8_0: signed bytes, moved up by 128.

import { f16Values } from '../../formats/half.ts'
import { f16At } from '../../formats/quants/quant.ts'
import type { Packer } from './packer.ts'

/** w = d·q */
export const q8_0: Packer = {
  bits: 8,
  block: 32,
  withOffsets: false,
  unpack(bytes, at, { codes, scales }) {
    scales[0] = f16Values()[f16At(bytes, at)]!
    for (let j = 0; j < 32; j++) codes[j] = bytes[at + 2 + j]! ^ 128 // two's complement + 128
  },
}
