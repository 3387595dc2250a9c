// Thin QR by Householder reflections (Golub and Van Loan, Matrix Computations, 5.2): accurate
// whatever the condition of the matrix.

import { assertInternal } from '../errors.ts'
import { getElement, createMatrix, createZeros, type Matrix } from './matrix.ts'

/**
 * m = q·r with qᵀq = 1 and r upper triangular with a diagonal ≥ 0. m: [M, N], M ≥ N; q: [M, N]; r:
 * [N, N].
 */
export function qr(m: Matrix): {
  readonly q: Matrix<Float64Array>
  readonly r: Matrix<Float64Array>
} {
  const { rows, columns } = m
  assertInternal(rows >= columns, `thin QR of ${rows} × ${columns}: more columns than rows.`)
  // One vector per column of m, so that every loop runs along memory.
  const work = Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_value, i) => getElement(m, i, j)),
  )
  const factors = work.map((column, j) => reflectBelow(work, column, j))
  const r = createZeros(columns, columns)
  for (let j = 0; j < columns; j++)
    for (let i = 0; i <= j; i++)
      r.data[i * columns + j] = work[j]![i]! * Math.sign(factors[i]!.diagonal)
  const q = work.map((_, j) => {
    const unit = new Float64Array(rows)
    unit[j] = Math.sign(factors[j]!.diagonal)
    for (let k = j; k >= 0; k--) applyReflection(unit, factors[k]!.vector, k)
    return unit
  })
  return { q: joinColumns(q, rows), r }
}

interface Reflection {
  /** Unit vector; zero where the column was zero already. */
  readonly vector: Float64Array
  /**
   * What the column's diagonal entry became: its sign is taken out of r at the end. 1 for zero, so
   * that signs stay defined.
   */
  readonly diagonal: number
}

function reflectBelow(work: readonly Float64Array[], column: Float64Array, j: number): Reflection {
  const vector = column.slice()
  vector.fill(0, 0, j)
  const length = Math.sqrt(dot(vector, vector, j))
  if (length === 0) return { vector, diagonal: 1 }
  const diagonal = vector[j]! > 0 ? -length : length // the sign that avoids cancellation
  vector[j]! -= diagonal
  const norm = Math.sqrt(dot(vector, vector, j))
  for (let i = j; i < vector.length; i++) vector[i]! /= norm
  for (let k = j; k < work.length; k++) applyReflection(work[k]!, vector, j)
  return { vector, diagonal }
}

/** x −= 2·(v·x)·v, from entry `first` on. */
function applyReflection(x: Float64Array, v: Float64Array, first: number): void {
  const twice = 2 * dot(x, v, first)
  for (let i = first; i < x.length; i++) x[i]! -= twice * v[i]!
}

function dot(a: Float64Array, b: Float64Array, first: number): number {
  let sum = 0
  for (let i = first; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function joinColumns(columns: readonly Float64Array[], rows: number): Matrix<Float64Array> {
  const data = new Float64Array(rows * columns.length)
  columns.forEach((column, j) =>
    column.forEach((value, i) => (data[i * columns.length + j] = value)),
  )
  return createMatrix(rows, columns.length, data)
}
