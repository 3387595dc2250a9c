// Two orders of the rows of query and key projections, by how rotary position embedding pairs the d
// rows of a head: Hugging Face pairs row i with row i + d/2 (half-split), llama.cpp's `norm` rope
// pairs rows 2i and 2i + 1 (interleaved). A quantised row is whole blocks, so that rows move as
// bytes and nothing is requantised.

import { FormatError } from '../base/errors.ts'
import { viewBytes, fromBytes, type Tensor } from '../base/tensor.ts'

/**
 * From llama.cpp's order into Hugging Face's. Throws FormatError if the rows are not `heads` heads
 * of even width.
 */
export const splitRotaryRows = (tensor: Tensor, heads: number): Tensor =>
  reorder(tensor, heads, (row, width) => (row % 2) * (width / 2) + Math.floor(row / 2))

/**
 * From Hugging Face's order into llama.cpp's (convert_hf_to_gguf.py, LlamaModel.permute). Throws as
 * above.
 */
export const interleaveRotaryRows = (tensor: Tensor, heads: number): Tensor =>
  reorder(tensor, heads, (row, width) => (row % (width / 2)) * 2 + Math.floor(row / (width / 2)))

/** A weight [rows, in] or bias [rows] with row r of each head moved to `target(r, head width)`. */
function reorder(
  tensor: Tensor,
  heads: number,
  target: (row: number, headWidth: number) => number,
): Tensor {
  const { dtype, shape } = tensor
  const rows = shape[0] ?? 1
  const headWidth = rows / heads
  if (!Number.isInteger(headWidth / 2)) {
    throw new FormatError(
      `got ${rows} rows, expected ${heads} heads of an even number of rows each.`,
    )
  }
  const from = viewBytes(tensor)
  const rowBytes = from.length / rows
  const to = new Uint8Array(from.length)
  for (let row = 0; row < rows; row++) {
    const within = row % headWidth
    const at = (row - within + target(within, headWidth)) * rowBytes
    to.set(from.subarray(row * rowBytes, (row + 1) * rowBytes), at)
  }
  return fromBytes(dtype, shape, to)
}
