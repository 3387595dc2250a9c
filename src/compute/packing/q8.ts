// Q8_0: signed bytes, moved up by 128.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import type { Packer } from './packer.ts'

/** w = d·q */
export const q8_0: Packer = {
  bits: 8,
  block: 32,
  withOffsets: false,
  scalesAt: [0],
  unpack(bytes, at, { codes, scales }) {
    scales[0] = getF16Values()[readF16(bytes, at)]!
    for (let j = 0; j < 32; j++) codes[j] = bytes[at + 2 + j]! ^ 128 // two's complement + 128
  },
}
