// The forward pass of an adapter of a standalone model, prepared once: the low-rank branches of all
// layers stacked along the rank, and one factor for each of the D values.
//
//     y = c ⊙ x + B·A·x + shift     A: [R, D]   B: [D, R]   R the sum of all layers' ranks   c, shift: [D]
//
// Exact for every kind with serving weights; for LoRA c is one. Products in single precision.

import { NumericError, ShapeError, UnsupportedError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { type Adapter, checkAdapter, checkFinite } from '../adapter.ts'
import type { ServingWeights } from '../kinds/kind.ts'
import { computeServingWeights } from '../serving/serving-weights.ts'
import { createStandaloneModel, standaloneModules } from './model.ts'

/**
 * Vectors in, vectors out: [N, D] in row-major order, any N. Throws ShapeError if the length is no
 * multiple of D, NumericError for NaN or infinity.
 */
export type StandaloneForward = (x: Float32Array) => Float32Array

interface StackedForms {
  readonly rank: number // R
  readonly A: Float32Array // [R, D]
  readonly B: Float32Array // [R, D], each layer's B transposed
  readonly factor: Float32Array | undefined // c
  readonly shift: Float32Array | undefined
}

/**
 * The serving weights of all layers as one; y = Σ_m v⊙(W_m·(u⊙x) + B·A·(u⊙x)) + shift with W_m =
 * I/7.
 */
function stackForms(forms: readonly ServingWeights[], width: number): StackedForms {
  const rank = forms.reduce((sum, { A }) => sum + A.shape[0]!, 0)
  const A = new Float32Array(rank * width)
  const B = new Float32Array(rank * width)
  const factor = forms.some(({ u, v }) => u ?? v) ? new Float32Array(width).fill(1) : undefined
  const shift = forms.some((form) => form.shift) ? new Float32Array(width) : undefined
  let row = 0
  for (const form of forms) {
    const own = form.A.shape[0]!
    const u = form.u?.data
    const v = form.v?.data
    for (let i = 0; i < width; i++) {
      const before = u?.[i] ?? 1
      const after = v?.[i] ?? 1
      for (let r = 0; r < own; r++) {
        A[(row + r) * width + i] = form.A.data[r * width + i]! * before
        B[(row + r) * width + i] = form.B.data[i * own + r]! * after
      }
      // a layer that nothing changes adds nothing
      if (factor) factor[i]! += (before * after - 1) / standaloneModules.length
      if (shift && form.shift) shift[i]! += form.shift.data[i]!
    }
    row += own
  }
  return { rank, A, B, factor, shift }
}

/**
 * Prepares an adapter of `createStandaloneModel(width)` for use; later changes of its tensors are
 * not seen. Throws MismatchError for an adapter of another model, UnsupportedError for adapters
 * that do not map vectors (soft prompts, an activated LoRA), NumericError for tensors that hold NaN
 * or infinity.
 */
export function createStandaloneForward(adapter: Adapter, width: number): StandaloneForward {
  const { graph, weightOf } = createStandaloneModel(width)
  checkAdapter(adapter, graph)
  checkFinite(adapter)
  if (adapter.config.invocationTokens)
    throw new UnsupportedError(
      'This LoRA acts only after invocation tokens, which vectors do not have. Leave out invocationTokens.',
    )
  const { rank, A, B, factor, shift } = stackForms(
    [...computeServingWeights(adapter, graph, weightOf).values()],
    width,
  )
  const { f32: kernel } = getFastKernels()
  const down = createMatrix(rank, width, A)
  const up = createMatrix(rank, width, B)
  return (x) => {
    const rows = countRows(x, width)
    const y = x.slice()
    if (factor) for (let i = 0; i < y.length; i++) y[i]! *= factor[i % width]!
    if (shift) for (let i = 0; i < y.length; i++) y[i]! += shift[i % width]!
    if (rank === 0) return y
    const low = createMatrix(rank, rows, new Float32Array(rank * rows)) // [R, N]
    multiply(low, down, transpose(createMatrix(rows, width, x)), { kernel })
    multiply(createMatrix(rows, width, y), transpose(low), up, { kernel, add: true })
    return y
  }
}

function countRows(x: Float32Array, width: number): number {
  const rows = x.length / width
  if (rows === 0 || !Number.isInteger(rows))
    throw new ShapeError(
      `Standalone forward: got ${x.length} numbers, expected a multiple of the width ${width}.`,
    )
  if (!isAllFinite(x))
    throw new NumericError('Standalone forward: the input contains NaN or infinity.')
  return rows
}
