// Adapter tensors of stacked layers: the A concatenated along the rows, the B block-diagonal.
// Exact, because each B is multiplied only with its own A. Vectors of the output are concatenated.

import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { LinearStack } from './stack-linears.ts'

/**
 * `tensors` has <module>.A [R, in] and .B [out, R] (and .v, .shift [out]) for single modules; the
 * result for the stacks, not for their parts.
 */
export function stackAdapter(
  tensors: ReadonlyMap<string, F32Tensor>,
  stacks: readonly LinearStack[],
): Map<string, F32Tensor> {
  const result = new Map(tensors)
  for (const { module, parts } of stacks) {
    const detours = parts.map((part) => ({
      A: tensors.get(`${part.module}.A`)!,
      B: tensors.get(`${part.module}.B`)!,
      outFeatures: part.outFeatures,
    }))
    const ranks = detours.map(({ A }) => A.shape[0]!)
    const rank = ranks.reduce((sum, one) => sum + one, 0)
    const inFeatures = detours[0]!.A.shape[1]!
    const A = f32([rank, inFeatures])
    const B = f32([detours.reduce((sum, { outFeatures }) => sum + outFeatures, 0), rank])
    let row = 0
    let out = 0
    detours.forEach((detour, i) => {
      A.data.set(detour.A.data, row * inFeatures)
      copyRows(B.data, out * rank + row, rank, detour.B)
      row += ranks[i]!
      out += detour.outFeatures
    })
    result.set(`${module}.A`, A).set(`${module}.B`, B)
    for (const name of ['v', 'shift']) {
      const vectors = parts.flatMap((part) => tensors.get(`${part.module}.${name}`) ?? [])
      if (vectors.length > 0) result.set(`${module}.${name}`, joinVectors(vectors))
    }
    for (const part of parts)
      for (const name of ['A', 'B', 'v', 'shift']) result.delete(`${part.module}.${name}`)
  }
  return result
}

/**
 * Rows of B [out, R] into wider rows. Rows are short: a loop over their values is faster than a
 * call for each.
 */
function copyRows(
  target: Float32Array,
  start: number,
  stride: number,
  { data, shape }: F32Tensor,
): void {
  const [rows, rank] = shape as [number, number]
  for (let row = 0; row < rows; row++) {
    for (let r = 0; r < rank; r++) target[start + row * stride + r] = data[row * rank + r]!
  }
}

function joinVectors(vectors: readonly F32Tensor[]): F32Tensor {
  const result = f32([vectors.reduce((sum, { data }) => sum + data.length, 0)])
  let at = 0
  for (const { data } of vectors) {
    result.data.set(data, at)
    at += data.length
  }
  return result
}
