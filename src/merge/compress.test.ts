import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { svd } from '../base/linalg/svd.ts'
import { createMatrix } from '../base/linalg/matrix.ts'
import { OptionError } from '../base/errors.ts'
import { compress } from './compress.ts'
import { computeDeltas, createRandomAdapter, smallShapes } from './fixture.contract.ts'

const sum = (values: Iterable<number>): number =>
  [...values].reduce((total, value) => total + value, 0)
const gapOf = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(sum(a.map((value, i) => (value - b[i]!) ** 2)))
const norm = (values: Float64Array): number => Math.sqrt(sum(values.map((value) => value * value)))

/** Singular values of each ΔW, by path. */
const spectra = (adapter: ReturnType<typeof createRandomAdapter>) =>
  new Map(
    [...computeDeltas(adapter)].map(([path, delta]) => [
      path,
      svd(createMatrix(...(smallShapes[path] as [number, number]), delta)).values,
    ]),
  )

describe('compressing', () => {
  it('to the full rank is exact', () => {
    const adapter = createRandomAdapter({ seed: 1, rank: 4 })
    for (const rank of [4, 9]) {
      const { adapter: same, modules, residual } = compress(adapter, { rank })
      expect(residual).toBeLessThan(1e-6)
      const got = computeDeltas(same)
      for (const [path, delta] of computeDeltas(adapter))
        expect(gapOf(got.get(path)!, delta) / norm(delta)).toBeLessThan(1e-6)
      expect(modules.map((report) => report.rank)).toEqual([4, 4])
    }
  })
  it('to a lower one loses the tail of the singular values, and nothing more', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 1, max: 4 }),
        (seed, rank) => {
          const adapter = createRandomAdapter({ seed, rank: 5 })
          const { adapter: small, modules, residual } = compress(adapter, { rank })
          const got = computeDeltas(small)
          const values = spectra(adapter)
          let lost = 0
          let whole = 0
          for (const [path, delta] of computeDeltas(adapter)) {
            const tail = Math.sqrt(
              sum(
                values
                  .get(path)!
                  .subarray(rank)
                  .map((value) => value * value),
              ),
            )
            expect(gapOf(got.get(path)!, delta)).toBeCloseTo(tail, 4)
            expect(modules.find(({ module }) => module === path)!.residual).toBeCloseTo(
              tail / norm(delta),
              5,
            )
            lost += tail ** 2
            whole += norm(delta) ** 2
          }
          expect(residual).toBeCloseTo(Math.sqrt(lost / whole), 5)
        },
      ),
      { numRuns: 20 },
    )
  })
  it('by energy keeps the least rank that reaches it, in every module alone', () => {
    const adapter = createRandomAdapter({ seed: 3, rank: 6 })
    const { modules } = compress(adapter, { energy: 0.8 })
    const values = spectra(adapter)
    for (const { module, rank } of modules) {
      const squares = Array.from(values.get(module)!, (value) => value * value)
      expect(sum(squares.slice(0, rank)) / sum(squares)).toBeGreaterThanOrEqual(0.8)
      expect(sum(squares.slice(0, rank - 1)) / sum(squares)).toBeLessThan(0.8)
    }
  })
  it('wants to know how far', () => {
    expect(() => compress(createRandomAdapter({ seed: 1 }), {})).toThrow(OptionError)
    expect(() => compress(createRandomAdapter({ seed: 1 }), { rank: 0 })).toThrow('rank: got 0')
  })
})
