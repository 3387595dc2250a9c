// The best low-rank factors of a matrix: exact for a product of thin factors, by subspace iteration
// for a dense one. docs/decisions/0010-low-rank-by-gram-matrices.md explains why both use Gram
// matrices in double precision.

import {
  clipNegatives,
  computeGram,
  computeTrace,
  multiplyToF32,
  multiplyToF64,
  scaleRows,
  sum,
} from './gram.ts'
import type { Kernel } from './kernel.ts'
import {
  computeSquaredNorm,
  createMatrix,
  createZeros,
  sliceRows,
  transpose,
  type Matrix,
} from './matrix.ts'
import { iterateSubspace, type Subspace } from './subspace.ts'
import { computeCholesky, computeEigen } from './symmetric.ts'

/**
 * How many directions to keep: at most `rank`, and as few as reach `energy`, a share of Σ σ². With
 * neither: all of them.
 */
export interface RankChoice {
  readonly rank?: number | undefined
  readonly energy?: number | undefined
}

/** m ≈ b·a. b: [M, R], a: [R, N], both with √σ in them. */
export interface LowRank {
  readonly b: Matrix<Float32Array>
  readonly a: Matrix<Float32Array>
  /** ‖m − b·a‖_F / ‖m‖_F; 0 for a zero matrix. */
  readonly residual: number
}

/**
 * Directions whose σ is below this share of the largest (or of what the factors could make) are
 * rounding errors of f32 factors.
 */
const negligible = 2 ** -22

/**
 * How many directions to keep. `squares`: squared singular values, largest first; `total` is the
 * sum of all of them, including those not listed.
 */
function chooseRank(
  squares: Float64Array,
  total: number,
  { rank = squares.length, energy = 1 }: RankChoice,
  possible = 0,
): number {
  const limit = Math.min(rank, squares.length)
  const floor = negligible ** 2 * Math.max(squares[0] ?? 0, possible)
  const wanted = energy < 1 ? energy * total : Infinity
  let kept = 0
  let reached = 0
  while (kept < limit && reached < wanted && squares[kept]! > floor) reached += squares[kept++]!
  return kept
}

const computeResidual = (rest: number, total: number): number =>
  total > 0 ? Math.sqrt(Math.max(0, rest) / total) : 0

/**
 * The best low-rank factors of b·a without forming it. b: [M, K], a: [K, N]. With bᵀb = RᵀR and
 * a·aᵀ = TᵀT, the singular values of b·a are those of the small C = R·Tᵀ = U·S·Vᵀ, and its best
 * factors are b·(Tᵀ·V·S^−½) and (S^−½·Uᵀ·R)·a. Errors are about 1e-8 of the largest σ.
 */
export function truncateProduct(b: Matrix, a: Matrix, choice: RankChoice): LowRank {
  const gramB = computeGram(b)
  const gramA = computeGram(transpose(a))
  const rootB = computeCholesky(gramB)
  const rootA = computeCholesky(gramA)
  const core = multiplyToF64(rootB, transpose(rootA)) // [K, K]
  const { values, vectors } = computeEigen(computeGram(core))
  const squares = clipNegatives(values)
  const rank = chooseRank(squares, sum(squares), choice, computeTrace(gramB) * computeTrace(gramA))
  const v = sliceRows(vectors, 0, rank) // [R, K]
  const left = multiplyToF64(
    scaleRows(v, (i) => squares[i]! ** -0.25),
    rootA,
  ) // [R, K]
  const right = multiplyToF64(
    multiplyToF64(
      scaleRows(v, (i) => squares[i]! ** -0.75),
      transpose(core),
    ),
    rootB,
  ) // [R, K]
  return {
    b: multiplyToF32(b, transpose(left)),
    a: multiplyToF32(right, a),
    residual: computeResidual(sum(squares, rank), sum(squares)),
  }
}

export interface DenseOptions extends RankChoice {
  /**
   * [N, L]: directions in which large singular vectors are expected; chosen well, they save most of
   * the work.
   */
  readonly start?: Matrix | undefined
  readonly seed: number
  readonly kernel?: Kernel | undefined
}

/** Additional directions that are iterated, so that the last wanted ones converge fast. */
const oversampling = 8
/** Up to this many rows or columns, all eigenvalues cost no more than the iteration. */
const exactSide = 128

/**
 * Low-rank factors of a dense matrix, with a residual within 1 % of the best possible: subspace
 * iteration from a start that may be random (Halko, Martinsson and Tropp 2011, arXiv:0909.4061),
 * stopped when the last gains show that further steps would gain too little. m: [M, N].
 */
export function truncateDense(
  m: Matrix,
  { rank, energy, start, seed, kernel }: DenseOptions,
): LowRank {
  const smaller = Math.min(m.rows, m.columns)
  const total = computeSquaredNorm(m)
  let width = Math.min(rank ?? smaller, energy === undefined ? smaller : 32) + oversampling
  let from = start
  for (;;) {
    if (smaller <= exactSide || 2 * width >= smaller) return truncateExactly(m, { rank, energy })
    const found = iterateSubspace(
      m,
      from,
      width,
      Math.min(width - oversampling, rank ?? width),
      total,
      seed,
      kernel,
    )
    const kept = chooseRank(
      clipNegatives(found.eigen.values).subarray(0, width - oversampling),
      total,
      {
        rank,
        energy,
      },
    )
    if (kept < width - oversampling || kept === rank) return computeFactors(found, kept, total)
    from = found.flipped ? found.y : found.x
    width *= 2
  }
}

/** From y = m·x: m ≈ y·xᵀ, cut to its largest directions. */
function computeFactors({ x, y, eigen, flipped }: Subspace, rank: number, total: number): LowRank {
  const v = sliceRows(eigen.vectors, 0, rank)
  const squares = clipNegatives(eigen.values)
  const own = multiplyToF32(y, transpose(scaleRows(v, (i) => squares[i]! ** -0.25)))
  const other = multiplyToF32(
    scaleRows(v, (i) => squares[i]! ** 0.25),
    transpose(x),
  )
  const residual = computeResidual(total - sum(squares.subarray(0, rank)), total)
  return flipped
    ? { b: copyMatrix(transpose(other)), a: copyMatrix(transpose(own)), residual }
    : { b: own, a: other, residual }
}

function copyMatrix(m: Matrix<Float32Array>): Matrix<Float32Array> {
  const data = new Float32Array(m.rows * m.columns)
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j < m.columns; j++)
      data[i * m.columns + j] = m.data[i * m.rowStride + j * m.columnStride]!
  return createMatrix(m.rows, m.columns, data)
}

/**
 * By all eigenvalues of the Gram matrix of the smaller side: for small matrices, and where many
 * directions are wanted.
 */
function truncateExactly(m: Matrix, choice: RankChoice): LowRank {
  const flipped = m.columns > m.rows
  const tall = flipped ? transpose(m) : m
  const eigen = computeEigen(computeGram(tall))
  const rank = chooseRank(clipNegatives(eigen.values), sum(clipNegatives(eigen.values)), choice)
  const identity = createZeros(tall.columns, tall.columns)
  for (let i = 0; i < tall.columns; i++) identity.data[i * (tall.columns + 1)] = 1
  // In x = 1, y = m·1 = m: the general form with every direction in it.
  const found = computeFactors(
    { x: identity, y: tall as Matrix<Float64Array>, eigen, flipped },
    rank,
    sum(clipNegatives(eigen.values)),
  )
  return found
}
