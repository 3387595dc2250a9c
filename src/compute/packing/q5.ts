// Q5_0 and Q5_1 as 8-bit codes: there is no kernel for five bits.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import type { Packer } from './packer.ts'

/** Codes q + shift from the 32 fifth bits at `at` and the nibbles behind them. */
function readCodes(bytes: Uint8Array, at: number, shift: number, codes: Uint8Array): void {
  const high = readF16(bytes, at) | (readF16(bytes, at + 2) << 16)
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 4 + j]!
    codes[j] = ((pair & 15) | (((high >>> j) & 1) << 4)) + shift
    codes[j + 16] = ((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) + shift
  }
}

/** w = d·(q − 16) */
export const q5_0: Packer = {
  bits: 8,
  block: 32,
  withOffsets: false,
  scalesAt: [0],
  unpack(bytes, at, { codes, scales }) {
    scales[0] = getF16Values()[readF16(bytes, at)]!
    readCodes(bytes, at + 2, 128 - 16, codes)
  },
}

/** w = d·q + m */
export const q5_1: Packer = {
  bits: 8,
  block: 32,
  withOffsets: true,
  scalesAt: [0, 2],
  unpack(bytes, at, { codes, scales, offsets }) {
    scales[0] = getF16Values()[readF16(bytes, at)]!
    offsets[0] = getF16Values()[readF16(bytes, at + 2)]!
    readCodes(bytes, at + 4, 128, codes)
  },
}
