// Q4_K stays in 4 bits, Q5_K becomes 8: w = d·s·q − dmin·m, with s and m for every 32 values.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import { readQ4kMinimum, readQ4kScale } from '../../formats/quants/q4-k.ts'
import type { Packer, UnpackedBlock } from './packer.ts'

/**
 * Scales d·s, and offsets −dmin·m + zero·d·s that make up for codes counted from the middle instead
 * of from 0.
 */
function readScales(
  bytes: Uint8Array,
  at: number,
  middle: number,
  { scales, offsets }: UnpackedBlock,
): void {
  const d = getF16Values()[readF16(bytes, at)]!
  const dmin = getF16Values()[readF16(bytes, at + 2)]!
  for (let group = 0; group < 8; group++) {
    scales[group] = d * readQ4kScale(bytes, at + 4, group)
    offsets[group] = middle * scales[group]! - dmin * readQ4kMinimum(bytes, at + 4, group)
  }
}

/** Two groups of 32 share 32 bytes: the even one low, the odd one high. */
const readNibble = (bytes: Uint8Array, at: number, group: number, j: number): number =>
  (bytes[at + (group >> 1) * 32 + j]! >> ((group & 1) * 4)) & 15

export const q4_k: Packer = {
  bits: 4,
  block: 32,
  withOffsets: true,
  scalesAt: [0, 2],
  unpack(bytes, at, into) {
    readScales(bytes, at, 8, into)
    for (let group = 0; group < 8; group++) {
      for (let j = 0; j < 32; j++) into.codes[group * 32 + j] = readNibble(bytes, at + 16, group, j)
    }
  },
}

export const q5_k: Packer = {
  bits: 8,
  block: 32,
  withOffsets: true,
  scalesAt: [0, 2],
  unpack(bytes, at, into) {
    readScales(bytes, at, 0, into)
    for (let group = 0; group < 8; group++) {
      for (let j = 0; j < 32; j++) {
        const fifth = ((bytes[at + 16 + j]! >> group) & 1) << 4
        into.codes[group * 32 + j] = 128 + (readNibble(bytes, at + 48, group, j) | fifth)
      }
    }
  },
}
