import { describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { computeDifference, estimate } from './estimate.ts'
import {
  bootstrap,
  computeMcnemarPValue,
  computeMean,
  computeSampleMean,
  computeWilsonInterval,
} from './statistics.ts'

const rows = (values: readonly number[]) => values.map((value) => ({ value }))

describe("Wilson's interval", () => {
  it.each([
    [0, 10],
    [5, 10],
    [99, 100],
    [1, 1],
  ])(
    'of %i of %i ends where the share lies 1.96 standard errors away, by the errors there',
    (hits, of) => {
      const errors = (p: number): number => Math.abs(hits / of - p) / Math.sqrt((p * (1 - p)) / of)
      const { low, high } = computeWilsonInterval(hits, of)
      for (const end of [low, high].filter((value) => value > 0 && value < 1))
        expect(errors(end)).toBeCloseTo(1.959964, 6)
      expect([low < high, low === 0, high === 1]).toEqual([true, hits === 0, hits === of])
    },
  )
  it('of no rows is everything', () =>
    expect(computeWilsonInterval(0, 0)).toEqual({ low: 0, high: 1 }))
})

describe('the bootstrap', () => {
  it('covers the true mean in about 95 of 100 draws', () => {
    const { normal } = random(7)
    let covered = 0
    for (let run = 0; run < 200; run++) {
      const scores = rows(Array.from({ length: 40 }, () => normal()))
      const { low, high } = bootstrap(40, run, (drawn) => computeSampleMean(scores, drawn))
      if (low <= 0 && high >= 0) covered++
    }
    expect(covered / 200).toBeGreaterThan(0.88)
    expect(covered / 200).toBeLessThan(0.99)
  })
  it('is the same for the same seed, and holds the mean', () => {
    const scores = rows([0.1, 0.9, 0.4, 0.3, 0.8])
    expect(estimate({ kind: 'mean' }, scores, 3)).toEqual(estimate({ kind: 'mean' }, scores, 3))
    const { low, high, value } = estimate({ kind: 'mean' }, scores, 3)
    expect(value).toBeCloseTo(0.5, 12)
    expect(low < value && value < high).toBe(true)
  })
  it('weighs rows, and shows what the metric shows', () => {
    const scores = [
      { value: 2, weight: 1 },
      { value: 9, weight: 3 },
    ]
    expect(computeMean(scores)).toBe(11 / 4)
    expect(estimate({ kind: 'mean', transform: Math.exp }, scores, 0).value).toBeCloseTo(
      Math.exp(11 / 4),
      12,
    )
  })
})

describe('two models on the same rows', () => {
  it.each([
    // 2·Σ C(rows, k) / 2^rows for k up to the fewer
    [0, 0, 1],
    [1, 9, (2 * (1 + 10)) / 2 ** 10],
    [5, 5, 1],
    [0, 20, 2 / 2 ** 20],
  ])("McNemar's exact test of %i against %i", (a, b, p) =>
    expect(computeMcnemarPValue(a, b)).toBeCloseTo(p, 12),
  )
  it('that many rows do not overflow', () =>
    expect(computeMcnemarPValue(4000, 4000)).toBeCloseTo(1, 6))
  it('differ significantly if they differ row by row, also with overlapping intervals', () => {
    const { uniform, normal } = random(1)
    const first = Array.from({ length: 60 }, () => uniform())
    const second = first.map((value) => value + 0.05 + 0.02 * normal())
    const a = estimate({ kind: 'mean' }, rows(first), 0)
    const b = estimate({ kind: 'mean' }, rows(second), 0)
    const { value, low, high, p } = computeDifference(
      { kind: 'mean' },
      rows(first),
      rows(second),
      0,
    )
    expect(a.high).toBeGreaterThan(b.low)
    expect(value).toBeCloseTo(0.05, 1)
    expect(low > 0 && high > low).toBe(true)
    expect(p).toBeLessThan(0.001)
  })
  it('that are the same differ by nothing, with p = 1', () => {
    const scores = rows([0, 1, 1, 0, 1])
    for (const kind of ['share', 'mean'] as const)
      expect(computeDifference({ kind }, scores, scores, 0)).toEqual({
        value: 0,
        low: 0,
        high: 0,
        p: 1,
      })
  })
  it('that differ by chance alone get a small p seldom', () => {
    const { uniform } = random(2)
    const draw = () => rows(Array.from({ length: 30 }, () => uniform()))
    const small = Array.from(
      { length: 60 },
      (_, seed) => computeDifference({ kind: 'mean' }, draw(), draw(), seed).p,
    ).filter((p) => p < 0.05)
    expect(small.length).toBeLessThanOrEqual(8) // 3 of 60 are to be expected
  })
})
