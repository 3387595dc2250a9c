// Unpacks 4-bit codes from bytes, in plain ONNX operators.

import type { OnnxEmitter } from '../operation.ts'

/** u8 [..] of a rank → u8 [.., 2]: the two codes of each byte, in their order in the byte. */
export function emitNibbles(
  emit: OnnxEmitter,
  bytes: string,
  rank: number,
  order: 'low first' | 'high first',
): string {
  const byte = (name: string, value: number): string =>
    emit.constant(name, () => ({ dtype: 'u8', shape: [], data: Uint8Array.of(value) }))
  const low = emit.node('BitwiseAnd', [bytes, byte('%low', 15)])
  const high = emit.node('BitShift', [bytes, byte('%four', 4)], { direction: { string: 'RIGHT' } })
  const parts = (order === 'low first' ? [low, high] : [high, low]).map((part) =>
    emit.node('Unsqueeze', [part, emit.ints([rank])]),
  )
  return emit.node('Concat', parts, { axis: { int: rank } })
}
