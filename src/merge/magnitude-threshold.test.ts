import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  computeDensityThreshold,
  computeThresholdBits,
  trimBelow,
  trimFrom,
} from './magnitude-threshold.ts'

const values = fc
  .array(fc.float({ noNaN: true, min: -4, max: 4 }), { minLength: 1, maxLength: 60 })
  .map((list) => Float32Array.from(list))
const kthLargest = (list: Float32Array, k: number): number => list.map(Math.abs).sort().at(-k)!

describe('thresholds', () => {
  it('are the k-th largest magnitude, exactly', () => {
    fc.assert(
      fc.property(values, fc.nat(), (list, any) => {
        const k = 1 + (any % list.length)
        const bits = computeThresholdBits(list, k)
        expect(new Float32Array(Int32Array.of(bits).buffer)[0]).toBe(kthLargest(list, k))
      }),
      { seed: 1, numRuns: 200 },
    )
  })
  it('split an array in two without a rest', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, density) => {
        const threshold = computeDensityThreshold(list, density)
        const large = list.slice()
        const small = list.slice()
        trimBelow(large, threshold)
        trimFrom(small, threshold)
        const k = Math.max(1, Math.floor(density * list.length))
        const kept = (value: number): boolean =>
          density >= 1 || Math.abs(value) >= kthLargest(list, k)
        expect([...large].map(Math.abs)).toEqual(
          [...list].map((value) => (kept(value) ? Math.abs(value) : 0)),
        )
        expect([...small].map(Math.abs)).toEqual(
          [...list].map((value) => (kept(value) ? 0 : Math.abs(value))),
        )
      }),
      { seed: 2, numRuns: 200 },
    )
  })
})
