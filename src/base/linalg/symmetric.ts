// Small symmetric matrices: eigenvalues, and a square root that also exists for singular ones.
// Row-major double precision.

import { GraftError } from '../errors.ts'
import { createMatrix, createZeros, type Matrix } from './matrix.ts'

export interface Eigen {
  /** Largest first. */
  readonly values: Float64Array
  /** [N, N]: row i is the unit eigenvector of values[i]. */
  readonly vectors: Matrix<Float64Array>
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder reduction to a tridiagonal one,
 * then QL steps with Wilkinson's shift (Golub and Van Loan, 8.3; Bowdler et al. 1968). Errors are
 * about 1e-16 of the largest eigenvalue. Reads the lower half.
 */
export function computeEigen({ rows: n, data }: Matrix<Float64Array>): Eigen {
  const a = data.slice(0, n * n)
  const diagonal = new Float64Array(n)
  const below = new Float64Array(n) // below[i] couples i−1 and i
  const vectors = tridiagonalize(a, diagonal, below, n)
  diagonalize(vectors, diagonal, below, n)
  const order = Array.from(diagonal, (_, i) => i).sort((i, j) => diagonal[j]! - diagonal[i]!)
  const sorted = new Float64Array(n * n)
  order.forEach((from, to) => sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n))
  return {
    values: Float64Array.from(order, (i) => diagonal[i]!),
    vectors: createMatrix(n, n, sorted),
  }
}

/** a becomes tridiagonal; returns the rows of Q with Q·a·Qᵀ = T. */
function tridiagonalize(
  a: Float64Array,
  diagonal: Float64Array,
  below: Float64Array,
  n: number,
): Float64Array {
  const q = new Float64Array(n * n)
  for (let i = 0; i < n; i++) q[i * n + i] = 1
  const v = new Float64Array(n)
  const p = new Float64Array(n)
  for (let k = 0; k < n - 1; k++) {
    let square = 0
    for (let i = k + 1; i < n; i++) square += (v[i] = a[i * n + k]!) ** 2
    const length = Math.sqrt(square)
    const target = v[k + 1]! > 0 ? -length : length
    below[k + 1] = target
    v[k + 1]! -= target
    const half = length * length - target * a[(k + 1) * n + k]! // |v|²/2
    if (half > 0) {
      reflectBothSides(a, v, p, half, k + 1, n)
      reflectRows(q, v, p, half, k + 1, n)
    }
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i]!
  return q
}

/**
 * a ← H·a·H with H = 1 − v·vᵀ/half, on rows and columns from `first`: a −= v·wᵀ + w·vᵀ. Both halves
 * are kept.
 */
function reflectBothSides(
  a: Float64Array,
  v: Float64Array,
  w: Float64Array,
  half: number,
  first: number,
  n: number,
): void {
  let along = 0
  for (let i = first; i < n; i++) {
    let sum = 0
    for (let j = first; j < n; j++) sum += a[i * n + j]! * v[j]!
    w[i] = sum / half
    along += v[i]! * w[i]!
  }
  const shift = along / (2 * half)
  for (let i = first; i < n; i++) w[i]! -= shift * v[i]!
  for (let i = first; i < n; i++) {
    const vi = v[i]!
    const wi = w[i]!
    const row = i * n
    for (let j = first; j < n; j++) a[row + j]! -= vi * w[j]! + wi * v[j]!
  }
}

/** q ← H·q */
function reflectRows(
  q: Float64Array,
  v: Float64Array,
  sums: Float64Array,
  half: number,
  first: number,
  n: number,
): void {
  sums.fill(0)
  for (let i = first; i < n; i++) {
    const factor = v[i]!
    const row = i * n
    for (let j = 0; j < n; j++) sums[j]! += factor * q[row + j]!
  }
  for (let i = first; i < n; i++) {
    const factor = v[i]! / half
    const row = i * n
    for (let j = 0; j < n; j++) q[row + j]! -= factor * sums[j]!
  }
}

const stepLimit = 60 // per eigenvalue; two are usual

/** QL steps on the tridiagonal matrix; every rotation also turns two rows of `vectors`. */
function diagonalize(
  vectors: Float64Array,
  diagonal: Float64Array,
  below: Float64Array,
  n: number,
): void {
  below.copyWithin(0, 1)
  below[n - 1] = 0 // now below[i] couples i and i+1
  // Every step rounds by a share of the largest entries: rows that are rounding errors themselves
  // cannot converge below that.
  const floor =
    Number.EPSILON *
    diagonal.reduce((most, value, i) => Math.max(most, Math.abs(value) + Math.abs(below[i]!)), 0)
  for (let first = 0; first < n; first++) {
    for (let step = 0; ; step++) {
      const last = findBlockEnd(below, first, n, floor)
      if (last === first) break
      if (step === stepLimit)
        throw new GraftError(
          'internal: the eigenvalues of a symmetric matrix were not found; does it hold NaN?',
        )
      stepQl(vectors, diagonal, below, first, last, n)
    }
  }
}

/**
 * Where the tridiagonal matrix splits: the first row from `first` on that is no longer coupled to
 * the next by more than `floor`.
 */
function findBlockEnd(below: Float64Array, first: number, n: number, floor: number): number {
  let last = first
  // this way round, NaN counts as coupled
  while (last < n - 1 && !(Math.abs(below[last]!) <= floor)) last++
  return last
}

/** One implicit QL step on rows first…last. */
function stepQl(
  vectors: Float64Array,
  diagonal: Float64Array,
  below: Float64Array,
  first: number,
  last: number,
  n: number,
): void {
  const spread = (diagonal[first + 1]! - diagonal[first]!) / (2 * below[first]!)
  const root = Math.hypot(spread, 1)
  let g =
    diagonal[last]! - diagonal[first]! + below[first]! / (spread + (spread >= 0 ? root : -root))
  let sine = 1
  let cosine = 1
  let taken = 0
  for (let i = last - 1; i >= first; i--) {
    const f = sine * below[i]!
    const b = cosine * below[i]!
    const length = Math.hypot(f, g)
    below[i + 1] = length
    if (length === 0) {
      diagonal[i + 1]! -= taken
      below[last] = 0
      return
    }
    sine = f / length
    cosine = g / length
    const moved = diagonal[i + 1]! - taken
    const turn = (diagonal[i]! - moved) * sine + 2 * cosine * b
    taken = sine * turn
    diagonal[i + 1] = moved + taken
    g = cosine * turn - b
    rotateRows(vectors, i * n, (i + 1) * n, cosine, sine, n)
  }
  diagonal[first]! -= taken
  below[first] = g
  below[last] = 0
}

function rotateRows(
  vectors: Float64Array,
  a: number,
  b: number,
  cosine: number,
  sine: number,
  n: number,
): void {
  for (let j = 0; j < n; j++) {
    const x = vectors[a + j]!
    const y = vectors[b + j]!
    vectors[b + j] = sine * x + cosine * y
    vectors[a + j] = cosine * x - sine * y
  }
}

/**
 * r, upper triangular, with rᵀ·r = m for a positive semidefinite m (Cholesky). A column whose
 * remainder is rounding error gets a zero row. If m is a Gram matrix of x, this loses at most 1e-8
 * of x.
 */
export function computeCholesky({ rows: n, data }: Matrix<Float64Array>): Matrix<Float64Array> {
  const root = createZeros(n, n)
  const r = root.data
  for (let i = 0; i < n; i++) {
    let rest = data[i * n + i]!
    for (let k = 0; k < i; k++) rest -= r[k * n + i]! ** 2
    if (!(rest > n * Number.EPSILON * data[i * n + i]!)) continue
    const pivot = Math.sqrt(rest)
    r[i * n + i] = pivot
    for (let j = i + 1; j < n; j++) r[i * n + j] = data[i * n + j]!
    for (let k = 0; k < i; k++) {
      const factor = r[k * n + i]!
      if (factor !== 0) for (let j = i + 1; j < n; j++) r[i * n + j]! -= factor * r[k * n + j]!
    }
    for (let j = i + 1; j < n; j++) r[i * n + j]! /= pivot
  }
  return root
}
