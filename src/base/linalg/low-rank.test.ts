import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../random.ts'
import { truncateDense, truncateProduct, type LowRank } from './low-rank.ts'
import { multiply } from './matmul.ts'
import { createMatrix, computeSquaredNorm, transpose, createZeros, type Matrix } from './matrix.ts'
import { getFastKernels } from './simd.ts'
import { svd } from './svd.ts'

const normal = (rows: number, columns: number, seed: number): Matrix<Float32Array> => {
  const { normal: next } = random(seed)
  return createMatrix(rows, columns, Float32Array.from({ length: rows * columns }, next))
}
const product = (left: Matrix, right: Matrix): Matrix<Float64Array> => {
  const result = createZeros(left.rows, right.columns)
  multiply(result, left, right)
  return result
}
/** ‖m − b·a‖/‖m‖ by the definition. */
function residual(m: Matrix, { b, a }: LowRank): number {
  const rest = product(b, a)
  rest.data.forEach((value, i) => (rest.data[i] = m.data[i]! - value))
  return Math.sqrt(computeSquaredNorm(rest) / computeSquaredNorm(m))
}
/** The best residual there is at a rank, from an SVD of the whole matrix. */
function optimal(m: Matrix, rank: number): number {
  const squares = svd(m).values.map((value) => value * value)
  return Math.sqrt(
    squares.subarray(rank).reduce((sum, value) => sum + value, 0) /
      squares.reduce((sum, value) => sum + value, 0),
  )
}
/** Like a trimmed sum: half of the entries of a product are zero. */
function thinned(
  rows: number,
  columns: number,
  rank: number,
  seed: number,
): { whole: Matrix<Float32Array>; b: Matrix; a: Matrix } {
  const b = normal(rows, rank, seed)
  const a = normal(rank, columns, seed + 1)
  const { uniform } = random(seed + 2)
  return {
    whole: createMatrix(
      rows,
      columns,
      Float32Array.from(product(b, a).data, (value) => (uniform() < 0.5 ? value : 0)),
    ),
    b,
    a,
  }
}

describe('truncateProduct', () => {
  it('has the optimal residual, reports it, and needs no rank above that of the product', () => {
    const size = fc.integer({ min: 1, max: 20 })
    fc.assert(
      fc.property(size, size, size, size, fc.integer(), (rows, inner, columns, rank, seed) => {
        const b = normal(rows, inner, seed)
        const a = normal(inner, columns, seed + 1)
        const whole = product(b, a)
        const found = truncateProduct(b, a, { rank })
        expect(found.b.columns).toBe(Math.min(rank, rows, inner, columns))
        expect(Math.abs(residual(whole, found) - optimal(whole, rank))).toBeLessThan(1e-6)
        expect(Math.abs(found.residual - optimal(whole, rank))).toBeLessThan(1e-6)
      }),
      { seed: 1, numRuns: 60 },
    )
  })
  it('is exact for factors that repeat, oppose each other, or differ by a million in size', () => {
    const b = normal(30, 4, 1)
    const a = normal(4, 20, 2)
    const join = (scale: number): Matrix[] => [
      createMatrix(
        30,
        8,
        Float32Array.from(
          { length: 240 },
          (_, i) => b.data[Math.floor(i / 8) * 4 + (i % 4)]! * (i % 8 < 4 ? 1 : scale),
        ),
      ),
      createMatrix(
        8,
        20,
        Float32Array.from({ length: 160 }, (_, i) => a.data[i % 80]!),
      ),
    ]
    for (const scale of [1, -0.5, 1e-6]) {
      const [left, right] = join(scale) as [Matrix, Matrix]
      const found = truncateProduct(left, right, {})
      expect(found.b.columns).toBe(4)
      expect(residual(product(left, right), found)).toBeLessThan(1e-6)
    }
    expect(truncateProduct(...(join(-1) as [Matrix, Matrix]), {}).b.columns).toBe(0) // they cancel
  })
  it('keeps the smallest rank that reaches an energy', () => {
    const b = normal(40, 10, 3)
    const a = normal(10, 30, 4)
    const squares = svd(product(b, a)).values.map((value) => value * value)
    const total = squares.reduce((sum, value) => sum + value, 0)
    const kept = truncateProduct(b, a, { energy: 0.8 }).b.columns
    const energyOf = (rank: number): number =>
      squares.subarray(0, rank).reduce((sum, value) => sum + value, 0) / total
    expect(energyOf(kept)).toBeGreaterThanOrEqual(0.8)
    expect(energyOf(kept - 1)).toBeLessThan(0.8)
    expect(truncateProduct(b, a, { energy: 0.8, rank: 2 }).b.columns).toBe(2)
  })
})

describe('truncateDense', () => {
  const cases: [string, number, number, number][] = [
    ['tall', 200, 140, 16],
    ['wide', 140, 200, 16],
    ['of little rank', 160, 150, 4],
    ['so small that it is done exactly', 20, 18, 12],
  ]
  it.each(cases)('stays within 1 %% of the optimal residual: %s', (_name, rows, columns, rank) => {
    for (const seed of [1, 2, 3]) {
      const { whole, b, a } = thinned(rows, columns, 3 * rank, seed)
      const best = optimal(whole, rank)
      const start = transpose(truncateProduct(b, a, { rank }).a)
      for (const options of [{}, { start }, { start, kernel: getFastKernels().f32 }]) {
        const found = truncateDense(whole, { rank, seed: 7, ...options })
        expect([found.b.columns, found.a.rows]).toEqual([rank, rank])
        expect(residual(whole, found) / best).toBeLessThan(1.01)
        expect(found.residual / residual(whole, found)).toBeCloseTo(1, 4)
      }
    }
  })
  it('stays within 1 % where singular values fall slowly and where a start misleads', () => {
    const whole = normal(150, 135, 9) // no structure at all
    const misleading = transpose(normal(16, 135, 10))
    for (const start of [undefined, misleading]) {
      const found = truncateDense(whole, { rank: 16, seed: 1, start })
      expect(residual(whole, found) / optimal(whole, 16)).toBeLessThan(1.01)
    }
  })
  it('is the same for the same seed', () => {
    const { whole } = thinned(140, 130, 20, 4)
    const once = (): number[] => [...truncateDense(whole, { rank: 8, seed: 5 }).b.data]
    expect(once()).toEqual(once())
  })
  it('reaches an energy, also one that needs many directions', () => {
    const { whole } = thinned(140, 130, 20, 5)
    for (const energy of [0.3, 0.6, 0.9]) {
      const found = truncateDense(whole, { energy, seed: 1 })
      expect(1 - residual(whole, found) ** 2).toBeGreaterThanOrEqual(energy - 1e-6)
      expect(1 - optimal(whole, found.b.columns - 2) ** 2).toBeLessThan(energy)
    }
  })
  it('gives a matrix of low rank back, and nothing for nothing', () => {
    const whole = product(normal(140, 5, 1), normal(5, 130, 2))
    const found = truncateDense(whole, { rank: 12, seed: 1 })
    expect(found.b.columns).toBe(5)
    expect(residual(whole, found)).toBeLessThan(1e-6)
    const none = truncateDense(createZeros(140, 130), { rank: 3, seed: 1 })
    expect([none.b.columns, none.residual]).toEqual([0, 0])
  })
})
