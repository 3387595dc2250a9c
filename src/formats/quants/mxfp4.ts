// MXFP4 (Open Compute Project 2023): w = 2^(e − 128)·k, 32 values a block, k twice a 4-bit float.

import { countBlocks, type Quant } from './quant.ts'

const levels = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]

/** e, 16 bytes: byte j has value j in its low and value j + 16 in its high nibble. */
export const mxfp4: Quant = {
  dequantize(bytes, out) {
    for (let block = countBlocks('mxfp4', bytes.length, out.length) - 1; block >= 0; block--) {
      const at = block * 17
      const scale = 2 ** (bytes[at]! - 128)
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 1 + j]!
        out[block * 32 + j] = scale * levels[pair & 15]!
        out[block * 32 + 16 + j] = scale * levels[pair >> 4]!
      }
    }
  },
}
