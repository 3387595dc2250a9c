// MiCA's start of a LoRA (arXiv:2604.01694): B contains the base's left singular vectors of the
// smallest singular values and is not trained, A starts at zero. Signs of vectors are free.
//
//     W = U·diag(σ)·Vᵀ, σ falling     B = the last R columns of U     A = 0

import { OptionError } from '../../base/errors.ts'
import { computeGram, multiplyToF64 } from '../../base/linalg/gram.ts'
import {
  createMatrix,
  getElement,
  type Matrix,
  sliceRows,
  transpose,
} from '../../base/linalg/matrix.ts'
import { computeEigen } from '../../base/linalg/symmetric.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { fillZeros } from './initializers.ts'
import type { ParameterSpec } from './kind.ts'

/** An embedding's matrix for one-hot tokens: its table transposed. */
function toMatrix(weight: Float32Array, { kind, inFeatures, outFeatures }: ModuleInfo): Matrix {
  return kind === 'embedding'
    ? transpose(createMatrix(inFeatures, outFeatures, weight))
    : createMatrix(outFeatures, inFeatures, weight)
}

/**
 * B [out, R] of unit columns, the smallest direction last. Takes the eigenvectors of the smaller
 * Gram matrix: about 10·n³ operations, where n is the smaller of both sizes.
 */
function computeMinorDirections(
  weight: Float32Array,
  module: ModuleInfo,
  rank: number,
): Float32Array {
  const { inFeatures, outFeatures, path } = module
  const least = Math.min(inFeatures, outFeatures)
  if (rank > least)
    throw new OptionError(
      `${path}: mica takes ${rank} of the singular directions of its weight, which has ${least}. Choose a rank of at most ${least}.`,
    )
  const w = toMatrix(weight, module)
  const isWide = outFeatures <= inFeatures
  const { vectors } = computeEigen(computeGram(isWide ? transpose(w) : w))
  const last = sliceRows(vectors, least - rank, rank) // [R, n]
  const columns = isWide ? transpose(last) : multiplyToF64(w, transpose(last)) // [out, R]
  const result = new Float32Array(outFeatures * rank)
  for (let r = 0; r < rank; r++) {
    let squares = 0
    for (let o = 0; o < outFeatures; o++) squares += getElement(columns, o, r) ** 2
    for (let o = 0; o < outFeatures; o++)
      result[o * rank + r] = getElement(columns, o, r) / Math.sqrt(squares)
  }
  return result
}

/** The names of a module's tensors; `shift`: B has a bias. */
interface MinorNames {
  readonly a: string
  readonly b: string
  readonly shift?: string
}

/** A starts at zero and is trained; B and its bias are not. */
export function listMinorSpecs(
  module: ModuleInfo,
  rank: number,
  { a, b, shift }: MinorNames,
): ParameterSpec[] {
  const { inFeatures, outFeatures, kind } = module
  const frozen = (name: string, shape: readonly number[]) => ({ name, shape, trainable: false })
  const shapeA = [rank, inFeatures]
  const start: ParameterSpec['start'] = (_random, base) =>
    computeMinorDirections(base('weight'), module, rank)
  return [
    { name: a, shape: shapeA, trainable: true, start: fillZeros(shapeA) },
    Object.assign(frozen(b, [outFeatures, rank]), { reads: ['weight' as const], start }),
    ...(shift !== undefined && kind === 'linear'
      ? [Object.assign(frozen(shift, [outFeatures]), { start: fillZeros([outFeatures]) })]
      : []),
  ]
}
