// The principal subspace of hidden states, used as a gradient projection subspace: directions that a
// tier does not act on. Independent of tiers.

import { multiply } from '../../base/linalg/matmul.ts'
import { createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { computeEigen } from '../../base/linalg/symmetric.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'

const maxStates = 256 // rows of their Gram matrix, whatever the width
const wantedShare = 0.925 // of the states' squared lengths: 64 of 576 directions of SmolLM2's (docs/learn-slow.md)
const maxDirections = 1 / 4 // of the width: learning needs the rest

/**
 * Orthonormal directions [K, D] that hold 92.5 % of Σ‖h‖² over hidden states [T, D], a quarter of
 * the width at most: the first eigenvectors of Σ h·hᵀ, computed from the states' Gram matrix. Of
 * more than 256 states every n-th is taken.
 */
export function computePrincipalSubspace(states: Float32Array, width: number): F32Tensor {
  const count = states.length / width
  const taken = Math.min(count, maxStates)
  const x = createMatrix(taken, width, new Float32Array(taken * width))
  for (let i = 0; i < taken; i++) {
    const from = Math.floor((i * count) / taken) * width
    x.data.set(states.subarray(from, from + width), i * width)
  }
  const gram = createMatrix(taken, taken, new Float32Array(taken * taken))
  multiply(gram, x, transpose(x), { kernel: getFastKernels().f32 })
  const { values, vectors } = computeEigen(createMatrix(taken, taken, Float64Array.from(gram.data)))
  const whole = values.reduce((sum, value) => sum + Math.max(0, value), 0)
  let held = 0
  let kept = 0
  while (
    kept < Math.min(taken, Math.floor(width * maxDirections)) &&
    held < wantedShare * whole &&
    values[kept]! > 1e-6 * values[0]!
  )
    held += values[kept++]!
  const weights = createMatrix(kept, taken, new Float32Array(kept * taken))
  for (let k = 0; k < kept; k++)
    for (let i = 0; i < taken; i++)
      weights.data[k * taken + i] = vectors.data[k * taken + i]! / Math.sqrt(values[k]!)
  const directions = createMatrix(kept, width, new Float32Array(kept * width))
  multiply(directions, weights, x, { kernel: getFastKernels().f32 })
  return f32([kept, width], directions.data)
}
