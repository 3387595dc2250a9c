// Q4_0 and Q4_1 as MatMulNBits wants them. Q4_1's minimum becomes an offset around the middle code,
// which costs no zero points.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import type { Packer } from './packer.ts'

/** ggml keeps value j low and value j + 16 high in byte j. */
function readNibbles(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!
    codes[j] = pair & 15
    codes[j + 16] = pair >> 4
  }
}

/** w = d·(q − 8) */
export const q4_0: Packer = {
  bits: 4,
  block: 32,
  withOffsets: false,
  unpack(bytes, at, { codes, scales }) {
    scales[0] = getF16Values()[readF16(bytes, at)]!
    readNibbles(bytes, at + 2, codes)
  },
}

/** w = d·q + m = d·(q − 8) + (m + 8d) */
export const q4_1: Packer = {
  bits: 4,
  block: 32,
  withOffsets: true,
  unpack(bytes, at, { codes, scales, offsets }) {
    const d = getF16Values()[readF16(bytes, at)]!
    scales[0] = d
    offsets[0] = getF16Values()[readF16(bytes, at + 2)]! + 8 * d
    readNibbles(bytes, at + 4, codes)
  },
}
