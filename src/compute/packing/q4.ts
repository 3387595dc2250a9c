// Q4_0 and Q4_1 in the layout of MatMulNBits. Q4_1's minimum becomes an offset around the middle
// code, which costs no zero points.

import { getF16Values } from '../../formats/half.ts'
import { readF16 } from '../../formats/quants/quant.ts'
import type { PackedArrays, Packer } from './packer.ts'

/** ggml keeps value j low and value j + 16 high in byte j. */
function readNibbles(bytes: Uint8Array, at: number, codes: Uint8Array): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!
    codes[j] = pair & 15
    codes[j + 16] = pair >> 4
  }
}

/**
 * The 32 nibbles of eight words in the order of their values: low ones first, then the high ones.
 * Byte k of the codes has values 2k and 2k + 1.
 */
function interleaveNibbles(words: Uint16Array, at: number, codes: Uint32Array, to: number): void {
  for (let half = 0; half < 2; half++) {
    const from = at + 4 * half
    const a = words[from]!
    const b = words[from + 1]!
    const c = words[from + 2]!
    const d = words[from + 3]!
    codes[to + half] = joinLow(a) | (joinLow(b) << 8) | (joinLow(c) << 16) | (joinLow(d) << 24)
    codes[to + 2 + half] =
      joinHigh(a) | (joinHigh(b) << 8) | (joinHigh(c) << 16) | (joinHigh(d) << 24)
  }
}

const joinLow = (word: number): number => (word & 15) | ((word >> 4) & 240)
const joinHigh = (word: number): number => ((word >> 4) & 15) | ((word >> 8) & 240)

function packQ4_0(words: Uint16Array, { codes, scales }: PackedArrays): void {
  const values = getF16Values()
  for (let block = 0; block < scales.length; block++) {
    scales[block] = values[words[9 * block]!]!
    interleaveNibbles(words, 9 * block + 1, codes, 4 * block)
  }
}

function packQ4_1(words: Uint16Array, into: PackedArrays): void {
  const { codes, scales, offsets, firstRow, allRows, perRow } = into
  const values = getF16Values()
  for (let block = 0, to = firstRow; block < scales.length; to++)
    for (let column = 0; column < perRow; column++, block++) {
      const d = values[words[10 * block]!]!
      scales[block] = d
      offsets![column * allRows + to] = values[words[10 * block + 1]!]! + 8 * d
      interleaveNibbles(words, 10 * block + 2, codes, 4 * block)
    }
}

/** w = d·(q − 8) */
export const q4_0: Packer = {
  bits: 4,
  block: 32,
  withOffsets: false,
  scalesAt: [0],
  unpack(bytes, at, { codes, scales }) {
    scales[0] = getF16Values()[readF16(bytes, at)]!
    readNibbles(bytes, at + 2, codes)
  },
  packAll: packQ4_0,
}

/** w = d·q + m = d·(q − 8) + (m + 8d) */
export const q4_1: Packer = {
  bits: 4,
  block: 32,
  withOffsets: true,
  scalesAt: [0, 2],
  unpack(bytes, at, { codes, scales, offsets }) {
    const d = getF16Values()[readF16(bytes, at)]!
    scales[0] = d
    offsets[0] = getF16Values()[readF16(bytes, at + 2)]! + 8 * d
    readNibbles(bytes, at + 4, codes)
  },
  packAll: packQ4_1,
}
