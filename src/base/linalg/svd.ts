// Singular values by one-sided Jacobi rotations (Hestenes 1958; Demmel and Veselić 1992): small
// values are as accurate as large ones. For matrices of up to a few hundred columns; low-rank.ts
// handles large matrices of which few values are needed.

import { getElement, createMatrix, transpose, type Matrix } from './matrix.ts'

export interface Svd {
  /** [M, P], P = min(M, N); columns of singular value 0 are zero. */
  readonly u: Matrix<Float64Array>
  /** Largest first. */
  readonly values: Float64Array
  /** [N, P] */
  readonly v: Matrix<Float64Array>
}

const sweepLimit = 60 // ten are usual
const tolerance = 1e-15

/** m = u · diag(values) · vᵀ. */
export function svd(m: Matrix): Svd {
  if (m.rows < m.columns) {
    const { u, values, v } = svd(transpose(m))
    return { u: v, values, v: u }
  }
  const { rows, columns } = m
  const left = Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_value, i) => getElement(m, i, j)),
  )
  const right = left.map((_, j) =>
    Float64Array.from({ length: columns }, (_value, i) => (i === j ? 1 : 0)),
  )
  for (let sweep = 0; sweep < sweepLimit && rotatePairs(left, right); sweep++);
  const norms = left.map((column) =>
    Math.sqrt(column.reduce((sum, value) => sum + value * value, 0)),
  )
  const order = norms.map((_, j) => j).sort((a, b) => norms[b]! - norms[a]!)
  const unit = (j: number, i: number): number => (norms[j] === 0 ? 0 : left[j]![i]! / norms[j]!)
  const gather = (count: number, value: (j: number, i: number) => number): Matrix<Float64Array> =>
    createMatrix(
      count,
      columns,
      Float64Array.from({ length: count * columns }, (_, k) =>
        value(order[k % columns]!, Math.floor(k / columns)),
      ),
    )
  return {
    u: gather(rows, unit),
    values: Float64Array.from(order, (j) => norms[j]!),
    v: gather(columns, (j, i) => right[j]![i]!),
  }
}

/** One sweep over all pairs of columns; whether any pair was not orthogonal yet. */
function rotatePairs(left: Float64Array[], right: Float64Array[]): boolean {
  let rotated = false
  for (let p = 0; p < left.length - 1; p++) {
    for (let q = p + 1; q < left.length; q++) {
      const x = left[p]!
      const y = left[q]!
      let xx = 0
      let yy = 0
      let xy = 0
      for (let i = 0; i < x.length; i++) {
        xx += x[i]! * x[i]!
        yy += y[i]! * y[i]!
        xy += x[i]! * y[i]!
      }
      if (Math.abs(xy) <= tolerance * Math.sqrt(xx * yy)) continue
      rotated = true
      const zeta = (yy - xx) / (2 * xy)
      const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta))
      const cosine = 1 / Math.hypot(1, tangent)
      rotate(x, y, cosine, cosine * tangent)
      rotate(right[p]!, right[q]!, cosine, cosine * tangent)
    }
  }
  return rotated
}

function rotate(x: Float64Array, y: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < x.length; i++) {
    const a = x[i]!
    const b = y[i]!
    x[i] = cosine * a - sine * b
    y[i] = sine * a + cosine * b
  }
}
