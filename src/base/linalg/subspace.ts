// Subspace iteration for the largest singular directions of a dense matrix (Halko, Martinsson and
// Tropp 2011, arXiv:0909.4061): half steps m·x and mᵀ·y in turn, until the expected gain is small.

import { random } from '../random.ts'
import { clipNegatives, computeGram, multiplyToF64, scaleRows, sum } from './gram.ts'
import type { Kernel } from './kernel.ts'
import { multiply } from './matmul.ts'
import { createMatrix, createZeros, transpose, type Matrix } from './matrix.ts'
import { computeEigen, type Eigen } from './symmetric.ts'

/** Stop when the residual is expected to fall by less than this share of itself. */
const precision = 1 / 400
const halfStepLimit = 24

export interface Subspace {
  /** Orthonormal columns x of one side, [N, L], and y = m·x of the other, [M, L]. */
  readonly x: Matrix<Float64Array>
  readonly y: Matrix<Float64Array>
  /** Of yᵀ·y: squares of the singular values of m as seen from x. */
  readonly eigen: Eigen
  readonly flipped: boolean
}

export function iterateSubspace(
  m: Matrix,
  start: Matrix | undefined,
  width: number,
  rank: number,
  total: number,
  seed: number,
  kernel: Kernel | undefined,
): Subspace {
  let current = runHalfStep(
    m,
    orthonormalize(createStartBlock(m.columns, width, start, seed)),
    false,
    kernel,
  )
  let rest = total - sum(clipNegatives(current.eigen.values).subarray(0, rank))
  let gain = Infinity
  for (let step = 1; step < halfStepLimit; step++) {
    const next = runHalfStep(m, computeSubspaceBasis(current), !current.flipped, kernel)
    const left = total - sum(clipNegatives(next.eigen.values).subarray(0, rank))
    const before = gain
    const gained = Math.max(0, rest - left)
    current = next
    rest = left
    gain = gained
    const ratio = Math.min(0.9, gained / before)
    if (rest <= 1e-12 * total || gained <= 1e-5 * rest) break
    if (step > 1 && (gained * ratio) / (1 - ratio) <= 2 * precision * rest) break
  }
  return current
}

function createStartBlock(
  size: number,
  width: number,
  start: Matrix | undefined,
  seed: number,
): Matrix<Float64Array> {
  const { normal } = random(seed)
  const block = createZeros(width, size)
  const given = Math.min(start?.columns ?? 0, width)
  for (let i = 0; i < width; i++)
    for (let j = 0; j < size; j++)
      block.data[i * size + j] =
        i < given
          ? start!.data[start!.start + j * start!.rowStride + i * start!.columnStride]!
          : normal()
  return transpose(block)
}

/**
 * An orthonormal basis of the columns of x, [N, L]; directions that are rounding errors become zero
 * columns.
 */
function orthonormalize(x: Matrix<Float64Array>): Matrix<Float64Array> {
  const scales =
    x.columns === 0 ? [] : Array.from({ length: x.columns }, (_, j) => computeColumnScale(x, j))
  const even = transpose(scaleRows(toRowMajor(transpose(x)), (j) => scales[j]!))
  return computeBasis(even, computeEigen(computeGram(even)))
}

const computeColumnScale = (x: Matrix, j: number): number => {
  let square = 0
  for (let i = 0; i < x.rows; i++)
    square += x.data[x.start + i * x.rowStride + j * x.columnStride]! ** 2
  return square > 0 ? 1 / Math.sqrt(square) : 0
}

function toRowMajor(m: Matrix<Float64Array>): Matrix<Float64Array> {
  if (m.columnStride === 1 && m.rowStride === m.columns) return m
  const data = new Float64Array(m.rows * m.columns)
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++)
      data[i * m.columns + j] = m.data[m.start + i * m.rowStride + j * m.columnStride]!
  return createMatrix(m.rows, m.columns, data)
}

/** y·V·Λ^−½ */
function computeBasis(y: Matrix, { values, vectors }: Eigen): Matrix<Float64Array> {
  const floor = 1e-14 * Math.max(0, values[0] ?? 0)
  return multiplyToF64(
    y,
    transpose(scaleRows(vectors, (i) => (values[i]! > floor ? values[i]! ** -0.5 : 0))),
  )
}

const computeSubspaceBasis = ({ y, eigen }: Subspace): Matrix<Float64Array> =>
  computeBasis(y, eigen)

function runHalfStep(
  m: Matrix,
  x: Matrix<Float64Array>,
  flipped: boolean,
  kernel: Kernel | undefined,
): Subspace {
  const options = kernel ? { kernel } : {}
  // mᵀ·x as (xᵀ·m)ᵀ: m is large and is in rows, so it is the side that is copied by rows.
  const y = flipped ? transpose(createZeros(x.columns, m.columns)) : createZeros(m.rows, x.columns)
  if (flipped) multiply(transpose(y), transpose(x), m, options)
  else multiply(y, m, x, options)
  return { x, y, eigen: computeEigen(computeGram(y)), flipped }
}
