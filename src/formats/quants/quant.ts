// The contract of a ggml block format, and what the formats share: the f16 scale and the check of
// lengths. Blocks are laid out as in ggml-common.h (llama.cpp); values equal those of gguf-py's
// quants.py bit for bit.

import { type BlockType, blockLayout } from '../../base/dtype.ts'
import { ShapeError } from '../../base/errors.ts'

export interface Quant {
  /**
   * Writes the value of every element to `out`. Throws ShapeError if the two lengths do not fit.
   */
  dequantize(bytes: Uint8Array, out: Float32Array): void
  /**
   * Writes the blocks of the values to `out`, with the rounding of gguf-py. Throws ShapeError as
   * above.
   */
  quantize?(values: Float32Array, out: Uint8Array): void
}

/** The bits of the f16 at a byte position. */
export const readF16 = (bytes: Uint8Array, position: number): number =>
  bytes[position]! | (bytes[position + 1]! << 8)

export function writeF16(bits: number, out: Uint8Array, position: number): void {
  out[position] = bits & 0xff
  out[position + 1] = bits >> 8
}

/** How many blocks both lengths stand for; throws ShapeError if they do not agree. */
export function countBlocks(type: BlockType, byteCount: number, valueCount: number): number {
  const { elements, bytes } = blockLayout[type]
  const blocks = valueCount / elements
  if (!Number.isInteger(blocks) || blocks * bytes !== byteCount) {
    throw new ShapeError(
      `${type} blocks: got ${byteCount} bytes for ${valueCount} values, expected a multiple of ${elements} values, ${bytes} bytes for each ${elements}.`,
    )
  }
  return blocks
}
