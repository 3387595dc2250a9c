import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { computeElectedMean, computeElectedMeanScalar } from './sign-election.ts'
import { computeElectedMeanSimd } from './sign-election-simd.ts'
import { computeDistance } from './fixture.contract.ts'
import { toBits } from './magnitude-threshold.ts'

/**
 * Quarters, zeros among them, so that sums are exact, signs tie, and both precisions elect alike.
 */
const quarters = fc.integer({ min: -8, max: 8 }).map((value) => value / 4)
const cases = fc.integer({ min: 1, max: 11 }).chain((adapters) =>
  fc.integer({ min: 1, max: 50 }).chain((size) =>
    fc.record({
      rows: fc.array(fc.array(quarters, { minLength: size, maxLength: size }), {
        minLength: adapters,
        maxLength: adapters,
      }),
      weights: fc.array(
        fc.integer({ min: 1, max: 9 }).map((value) => value / 4),
        { minLength: adapters, maxLength: adapters },
      ),
      threshold: fc.integer({ min: 0, max: 8 }).map((value) => value / 4),
    }),
  ),
)

/** The formula, entry by entry. */
function byDefinition(
  rows: readonly (readonly number[])[],
  weights: readonly number[],
  threshold: number,
): number[] {
  return rows[0]!.map((_, i) => {
    const trimmed = rows.map((row) => (Math.abs(row[i]!) >= threshold ? row[i]! : 0))
    const sign = trimmed.reduce((sum, value, k) => sum + weights[k]! * value, 0) >= 0 ? 1 : -1
    const agreeing = trimmed.flatMap((value, k) =>
      value * sign > 0 ? [[weights[k]! * value, weights[k]!] as const] : [],
    )
    const share = agreeing.reduce((sum, [, weight]) => sum + weight, 0)
    return share === 0 ? 0 : agreeing.reduce((sum, [value]) => sum + value, 0) / share
  })
}

describe('the elected mean', () => {
  it('is what the formula says, with vectors and one number at a time, for more adapters than fit a byte', () => {
    fc.assert(
      fc.property(cases, ({ rows, weights, threshold }) => {
        const expected = byDefinition(rows, weights, threshold)
        const bits = toBits(Float32Array.of(threshold))[0]!
        const thresholds = rows.map(() => bits)
        const [general, vectors, numbers] = [0, 0, 0].map(
          () => new Float32Array(expected.length),
        ) as [Float32Array, Float32Array, Float32Array]
        const copies = (): Float32Array[] => rows.map((row) => Float32Array.from(row))
        computeElectedMean(copies(), weights, general, thresholds)
        expect(computeDistance(general, expected)).toBeLessThan(1e-6)
        expect(
          computeElectedMeanSimd(
            copies(),
            weights,
            rows.map(() => threshold),
            vectors,
          ),
        ).toBe(true)
        expect(computeDistance(vectors, expected)).toBeLessThan(1e-6)
        computeElectedMeanScalar(
          rows.map((row) =>
            Float32Array.from(row, (value) => (Math.abs(value) >= threshold ? value : 0)),
          ),
          weights,
          numbers,
        )
        expect(computeDistance(numbers, expected)).toBeLessThan(1e-6)
      }),
      { seed: 1, numRuns: 150 },
    )
  })
  it('continues behind what is copied at a time, and may write over a row', () => {
    const size = 10_001
    const a = new Float32Array(size).fill(1)
    const b = Float32Array.from({ length: size }, (_, i) => (i % 2 === 0 ? 3 : -0.5))
    computeElectedMean([a, b], [1, 1], a)
    expect([...a].every((value, i) => value === (i % 2 === 0 ? 2 : 1))).toBe(true)
  })
})
