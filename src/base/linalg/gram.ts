// Gram matrices and the small products from which low-rank factors are computed. Sums are in double
// precision, results in the precision that the next step reads.

import { multiply } from './matmul.ts'
import { createMatrix, createZeros, transpose, type Matrix } from './matrix.ts'

export const clipNegatives = (values: Float64Array): Float64Array =>
  values.map((value) => Math.max(0, value))
export const sum = (values: Float64Array, from = 0): number =>
  values.subarray(from).reduce((total, value) => total + value, 0)

/** mᵀ·m in double precision, [N, N]. */
export function computeGram(m: Matrix): Matrix<Float64Array> {
  const result = createZeros(m.columns, m.columns)
  multiply(result, transpose(m), m, { symmetric: true })
  return result
}

export function multiplyToF64(left: Matrix, right: Matrix): Matrix<Float64Array> {
  const result = createZeros(left.rows, right.columns)
  multiply(result, left, right)
  return result
}

export function multiplyToF32(left: Matrix, right: Matrix): Matrix<Float32Array> {
  const result = createMatrix(left.rows, right.columns, new Float32Array(left.rows * right.columns))
  multiply(result, left, right)
  return result
}

export const computeTrace = ({ data, rows }: Matrix): number =>
  sum(Float64Array.from({ length: rows }, (_, i) => data[i * (rows + 1)]!))

/** Rows of `m` times one factor each. */
export function scaleRows(
  m: Matrix<Float64Array>,
  factor: (row: number) => number,
): Matrix<Float64Array> {
  const data = new Float64Array(m.rows * m.columns)
  for (let row = 0; row < m.rows; row++) {
    const scale = factor(row)
    for (let i = row * m.columns; i < (row + 1) * m.columns; i++)
      data[i] = scale * m.data[m.start + i]!
  }
  return createMatrix(m.rows, m.columns, data)
}
