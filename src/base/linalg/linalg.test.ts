import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../random.ts'
import { multiply } from './matmul.ts'
import {
  getElement,
  sliceColumns,
  createMatrix,
  sliceRows,
  transpose,
  createZeros,
  type Matrix,
} from './matrix.ts'
import { qr } from './qr.ts'
import { svd } from './svd.ts'
import { computeCholesky, computeEigen } from './symmetric.ts'

const normal = (rows: number, columns: number, seed: number): Matrix<Float64Array> => {
  const { normal: next } = random(seed)
  return createMatrix(rows, columns, Float64Array.from({ length: rows * columns }, next))
}

/** The definition, entry by entry: what everything is held against. */
function product(a: Matrix, b: Matrix): Matrix<Float64Array> {
  const result = createZeros(a.rows, b.columns)
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < b.columns; j++)
      for (let k = 0; k < a.columns; k++)
        result.data[i * b.columns + j]! += getElement(a, i, k) * getElement(b, k, j)
  return result
}

function distance(a: Matrix, b: Matrix): number {
  let largest = 0
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < a.columns; j++)
      largest = Math.max(largest, Math.abs(getElement(a, i, j) - getElement(b, i, j)))
  return largest
}

const identity = (n: number): Matrix<Float64Array> =>
  createMatrix(
    n,
    n,
    Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
  )
const scaledColumns = (m: Matrix, scales: Float64Array): Matrix<Float64Array> =>
  createMatrix(
    m.rows,
    m.columns,
    Float64Array.from(
      { length: m.rows * m.columns },
      (_, i) => getElement(m, Math.floor(i / m.columns), i % m.columns) * scales[i % m.columns]!,
    ),
  )
const size = fc.integer({ min: 1, max: 23 })

describe('multiply', () => {
  it('equals the definition for any sizes and any transposition', () => {
    fc.assert(
      fc.property(
        size,
        size,
        size,
        fc.boolean(),
        fc.boolean(),
        fc.integer(),
        (m, k, n, left, right, seed) => {
          const a = left ? transpose(normal(k, m, seed)) : normal(m, k, seed)
          const b = right ? transpose(normal(n, k, seed + 1)) : normal(k, n, seed + 1)
          const target = createZeros(m, n)
          target.data.fill(7)
          multiply(target, a, b)
          expect(distance(target, product(a, b))).toBeLessThan(1e-12)
        },
      ),
      { seed: 1, numRuns: 60 },
    )
  })
  it('continues where the inner dimension is longer than what is packed at a time, in f32 too', () => {
    const a = normal(5, 700, 1)
    const b = normal(700, 6, 2)
    const target = createMatrix(5, 6, new Float32Array(30))
    multiply(target, a, b)
    expect(distance(target, product(a, b))).toBeLessThan(1e-4)
  })
  it('adds to the target, and overwrites with zero where there is nothing to sum', () => {
    const a = normal(3, 2, 3)
    const b = normal(2, 3, 4)
    const target = createZeros(3, 3)
    multiply(target, a, b)
    multiply(target, a, b, { add: true })
    expect(target.data[4]).toBeCloseTo(2 * product(a, b).data[4]!, 12)
    multiply(target, normal(3, 0, 5), normal(0, 3, 6))
    expect([...target.data]).toEqual(Array(9).fill(0))
  })
  it('computes half of a Gram matrix and mirrors it', () => {
    const a = normal(40, 13, 7)
    const gram = createZeros(13, 13)
    multiply(gram, transpose(a), a, { symmetric: true })
    expect(distance(gram, product(transpose(a), a))).toBeLessThan(1e-12)
  })
  it('works on views of rows and columns', () => {
    const whole = normal(9, 8, 8)
    const a = sliceRows(whole, 2, 5)
    const b = sliceColumns(whole, 3, 4)
    const target = createZeros(4, 8)
    multiply(target, transpose(sliceRows(b, 0, 5)), a)
    expect(distance(target, product(transpose(sliceRows(b, 0, 5)), a))).toBeLessThan(1e-12)
  })
  it('refuses sizes that do not fit', () => {
    expect(() => multiply(createZeros(2, 2), createZeros(2, 3), createZeros(4, 2))).toThrow(
      'internal: product of 2 × 3 and 4 × 2 into 2 × 2',
    )
  })
})

describe('qr', () => {
  it('gives an orthonormal q, an upper r with a diagonal ≥ 0, and m back', () => {
    fc.assert(
      fc.property(size, size, fc.integer(), (extra, n, seed) => {
        const m = normal(n + extra, n, seed)
        const { q, r } = qr(m)
        expect(distance(product(q, r), m)).toBeLessThan(1e-12)
        expect(distance(product(transpose(q), q), identity(n))).toBeLessThan(1e-12)
        for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) expect(getElement(r, i, j)).toBe(0)
        for (let i = 0; i < n; i++) expect(getElement(r, i, i)).toBeGreaterThanOrEqual(0)
      }),
      { seed: 2, numRuns: 40 },
    )
  })
  it('keeps q orthonormal where columns repeat or vanish', () => {
    const m = createZeros(5, 3)
    for (let i = 0; i < 5; i++) m.data[i * 3] = m.data[i * 3 + 1] = i + 1
    const { q, r } = qr(m)
    expect(distance(product(q, r), m)).toBeLessThan(1e-12)
    expect(distance(product(transpose(q), q), identity(3))).toBeLessThan(1e-12)
  })
})

describe('svd', () => {
  it('gives m back from orthonormal factors and falling values, wide or tall', () => {
    fc.assert(
      fc.property(size, size, fc.integer(), (rows, columns, seed) => {
        const m = normal(rows, columns, seed)
        const { u, values, v } = svd(m)
        const p = Math.min(rows, columns)
        expect(distance(product(scaledColumns(u, values), transpose(v)), m)).toBeLessThan(1e-12)
        expect(distance(product(transpose(u), u), identity(p))).toBeLessThan(1e-11)
        expect(distance(product(transpose(v), v), identity(p))).toBeLessThan(1e-11)
        expect([...values]).toEqual([...values].sort((a, b) => b - a))
      }),
      { seed: 3, numRuns: 40 },
    )
  })
  it('finds tiny singular values to relative accuracy', () => {
    const { q } = qr(normal(8, 3, 1))
    const { q: v } = qr(normal(3, 3, 2))
    const values = Float64Array.of(1, 1e-6, 1e-11)
    const found = svd(product(scaledColumns(q, values), transpose(v))).values
    expect(found[1]! / 1e-6).toBeCloseTo(1, 8)
    expect(found[2]! / 1e-11).toBeCloseTo(1, 3)
  })
  it('takes a zero matrix', () => {
    expect([...svd(createZeros(3, 2)).values]).toEqual([0, 0])
  })
})

describe('symmetricEigen', () => {
  it('gives orthonormal rows that diagonalise, largest value first', () => {
    fc.assert(
      fc.property(size, size, fc.integer(), (n, rank, seed) => {
        const factor = normal(n, rank, seed) // rank below n: zero eigenvalues, many times
        const m = product(factor, transpose(factor))
        const { values, vectors } = computeEigen(m)
        const largest = Math.max(1, values[0]!)
        expect(distance(product(vectors, transpose(vectors)), identity(n))).toBeLessThan(1e-12)
        expect(
          distance(product(scaledColumns(transpose(vectors), values), vectors), m),
        ).toBeLessThan(1e-13 * largest * n)
        expect([...values]).toEqual([...values].sort((a, b) => b - a))
      }),
      { seed: 4, numRuns: 60 },
    )
  })
  it('takes negative eigenvalues, repeated ones, and matrices that are diagonal already', () => {
    const { values } = computeEigen(createMatrix(3, 3, Float64Array.of(0, 2, 0, 2, 0, 0, 0, 0, 2)))
    expect([...values].map((value) => Math.round(value * 1e12) / 1e12)).toEqual([2, 2, -2])
    expect([...computeEigen(createMatrix(2, 2, Float64Array.of(-3, 0, 0, 5))).values]).toEqual([
      5, -3,
    ])
    expect([...computeEigen(createZeros(4, 4)).values]).toEqual([0, 0, 0, 0])
  })
  it('finds those of Gram matrices of low rank whose other eigenvalues are rounding errors', () => {
    for (const [share, seed] of [0, 0.001, 0.03, 0.1].flatMap((each) =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((k) => [each, k] as const),
    )) {
      const delta = product(normal(64, 8, seed), normal(8, 64, seed + 100))
      const weight = normal(64, 64, seed + 200).data.map((value) => Math.fround(share * value))
      const rounded = createMatrix(
        64,
        64,
        delta.data.map((value, i) => Math.fround(Math.fround(weight[i]! + value) - weight[i]!)),
      )
      const { values } = computeEigen(product(transpose(rounded), rounded))
      expect(values[7]! / values[0]!).toBeGreaterThan(1e-3)
      expect(Math.abs(values[8]! / values[0]!)).toBeLessThan(1e-12)
    }
  })
  it('reports it instead of looping when the matrix contains NaN', () => {
    expect(() => computeEigen(createMatrix(2, 2, Float64Array.of(1, NaN, NaN, 1)))).toThrow(
      'eigenvalues',
    )
  })
})

describe('gramRoot', () => {
  it('is a root of regular and of singular Gram matrices', () => {
    fc.assert(
      fc.property(size, size, fc.integer(), (n, rank, seed) => {
        const factor = normal(n, rank, seed)
        const m = product(factor, transpose(factor))
        const root = computeCholesky(m)
        expect(distance(product(transpose(root), root), m)).toBeLessThan(1e-11 * n)
      }),
      { seed: 5, numRuns: 60 },
    )
  })
})
