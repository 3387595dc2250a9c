// Emits a product of two tensors: with the operator that reads a transposed side in place or, if
// the platform lacks it, in plain ONNX operators.

import type { OnnxEmitter } from '../operation.ts'

export interface ProductForm {
  readonly transA?: boolean
  readonly transB?: boolean
  readonly alpha?: number
}

/** The name of a side, and how many dimensions it has. */
export type ProductSide = readonly [name: string, rank: number]

/** Swaps the last two axes of a tensor. */
const emitSwap = (emit: OnnxEmitter, [name, rank]: ProductSide): string => {
  const order = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i))
  return emit.node('Transpose', [name], { perm: { ints: order } })
}

/** alpha·op(a)·op(b); leading dimensions broadcast. Returns the name of the output. */
export function emitProduct(
  emit: OnnxEmitter,
  a: ProductSide,
  b: ProductSide,
  { transA = false, transB = false, alpha = 1 }: ProductForm,
  output = emit.fresh(),
): string {
  if (!transA && !transB && alpha === 1) return emit.node('MatMul', [a[0], b[0]], {}, output)
  const form = { transA: { int: +transA }, transB: { int: +transB }, alpha: { float: alpha } }
  if (emit.has('FusedMatMul')) return emit.microsoft('FusedMatMul', [a[0], b[0]], form, output)
  if (a[1] === 2 && b[1] === 2) return emit.node('Gemm', [a[0], b[0]], form, output)
  const sides = [transA ? emitSwap(emit, a) : a[0], transB ? emitSwap(emit, b) : b[0]]
  if (alpha === 1) return emit.node('MatMul', sides, {}, output)
  return emit.node('Mul', [emit.node('MatMul', sides), emit.float(alpha)], {}, output)
}
