// IQ4_NL and IQ4_XS: w = d·s·k, where k is one of 16 fixed values that are closer around 0.

import { countBlocks, type Quant, readF16 } from './quant.ts'
import { readNibble, readScale } from './iq-shared.ts'

const levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]

/** 16 bytes: byte j has value j in its low and value j + 16 in its high nibble. */
function writeLevels(
  out: Float32Array,
  to: number,
  factor: number,
  bytes: Uint8Array,
  at: number,
): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j]!
    out[to + j] = factor * levels[pair & 15]!
    out[to + 16 + j] = factor * levels[pair >> 4]!
  }
}

/** 32 values: d f16, 16 bytes of nibbles. */
export const iq4_nl: Quant = {
  dequantize(bytes, out) {
    for (let block = countBlocks('iq4_nl', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 18
      writeLevels(out, block * 32, readScale(bytes, at), bytes, at + 2)
    }
  },
}

/** 256 values: d f16, two bits of each of 8 scales, four bits of each, 128 bytes of nibbles. */
export const iq4_xs: Quant = {
  dequantize(bytes, out) {
    for (let block = countBlocks('iq4_xs', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 136
      const d = readScale(bytes, at)
      const high = readF16(bytes, at + 2) // 16 bits that are no float
      for (let group = 0; group < 8; group++) {
        const scale = readNibble(bytes, at + 4, group) | (((high >> (2 * group)) & 3) << 4)
        writeLevels(out, block * 256 + group * 32, d * (scale - 32), bytes, at + 8 + group * 16)
      }
    }
  },
}
