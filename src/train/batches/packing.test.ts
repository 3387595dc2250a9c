import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { PADDING, SHARED_PREFIX } from '../../graph/feeds.ts'
import type { EncodedSequence } from '../data/encode.ts'
import {
  buildBatch,
  computeFillRate,
  type PackingOptions,
  planEpoch,
  countSharedPrefix,
} from './packing.ts'

const options: PackingOptions = { rows: 3, tokens: 24, packing: true, shared: 0, seed: 1, epoch: 0 }

/** Rows whose every token is unlike all others: row · 1000 + position. */
const rowsOf = (lengths: readonly number[], scoredFrom = 1): EncodedSequence[] =>
  lengths.map((length, row) => ({
    ids: Int32Array.from({ length }, (_, t) => row * 1000 + t),
    weights: Float32Array.from({ length }, (_, t) => (t >= scoredFrom ? 1 + row : 0)),
  }))

/** Rows that all begin with `shared` equal tokens. */
const alike = (lengths: readonly number[], shared: number): EncodedSequence[] =>
  rowsOf(lengths, shared).map(({ ids, weights }) => ({
    ids: ids.map((id, t) => (t < shared ? 7000 + t : id)),
    weights,
  }))

const lengthsOf = fc.array(fc.integer({ min: 2, max: 24 }), { minLength: 1, maxLength: 600 })

describe('planEpoch', () => {
  it('places every row exactly once, on lines that hold it', () => {
    fc.assert(
      fc.property(lengthsOf, fc.boolean(), fc.nat(), (lengths, packing, seed) => {
        const rows = rowsOf(lengths)
        const plans = planEpoch(rows, { ...options, packing, seed })
        expect(plans.flat(2).toSorted((a, b) => a - b)).toEqual(rows.map((_, i) => i))
        for (const plan of plans) {
          expect(plan.length).toBeLessThanOrEqual(options.rows)
          for (const line of plan)
            expect(line.reduce((sum, row) => sum + lengths[row]!, 0)).toBeLessThanOrEqual(
              options.tokens,
            )
          expect(packing || plan.every((line) => line.length === 1)).toBe(true)
        }
        for (const plan of plans.slice(0, -1)) expect(plan).toHaveLength(options.rows)
      }),
      { numRuns: 50 },
    )
  })
  it('keeps pairs in one batch, and packed on one line', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2, max: 12 }), { minLength: 2, maxLength: 300 }),
        fc.boolean(),
        (some, packing) => {
          const lengths = some.slice(0, some.length & ~1)
          const plans = planEpoch(rowsOf(lengths), { ...options, packing, together: 2 })
          expect(plans.flat(2).toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
          for (const plan of plans) {
            expect(plan.length).toBeLessThanOrEqual(options.rows)
            for (const group of packing ? plan : [plan.flat()])
              group.forEach((row, i) =>
                expect(i % 2 === 0 ? row % 2 : row - group[i - 1]!).toBe(i % 2),
              )
          }
        },
      ),
      { numRuns: 30 },
    )
  })
  it('refuses a pair that is longer than a line, unless its rows have a line each', () => {
    const pair = { ...options, together: 2 }
    expect(() => planEpoch(rowsOf([12, 13]), pair)).toThrow(OptionError)
    expect(() => planEpoch(rowsOf([12, 13]), pair)).toThrow(
      'A pair has 25 tokens, and a packed sequence, which must hold both rows, has at most 24',
    )
    expect(planEpoch(alike([14, 14], 4), { ...pair, shared: 4 })).toEqual([[[0, 1]]])
    expect(planEpoch(rowsOf([12, 13]), { ...pair, packing: false })).toEqual([[[0], [1]]])
  })
  it('depends on seed and epoch alone', () => {
    const rows = rowsOf(Array.from({ length: 40 }, (_, i) => 2 + (i % 9)))
    const plan = (changed: Partial<PackingOptions>) =>
      JSON.stringify(planEpoch(rows, { ...options, ...changed }))
    expect(plan({})).toBe(plan({}))
    expect(new Set([plan({}), plan({ seed: 2 }), plan({ epoch: 1 })]).size).toBe(3)
  })
  it('fills lines of mixed rows to more than nine tenths', () => {
    const rows = rowsOf(Array.from({ length: 1000 }, (_, i) => 20 + ((i * 37) % 60)))
    const wide = { ...options, rows: 4, tokens: 256 }
    expect(computeFillRate(rows, planEpoch(rows, wide))).toBeGreaterThan(0.95)
    expect(computeFillRate(rows, planEpoch(rows, { ...wide, packing: false }))).toBeLessThan(0.85)
  })
  it('refuses a row that is longer than a line', () => {
    expect(() => planEpoch(rowsOf([3, 25]), options)).toThrow(OptionError)
    expect(() => planEpoch(rowsOf([3, 25]), options)).toThrow(
      'a row has 25 tokens, and a packed sequence has at most 24'.replace('a row', 'A row'),
    )
  })
})

describe('buildBatch', () => {
  it('keeps each row whole and in order, with positions of its own and its own segment', () => {
    fc.assert(
      fc.property(lengthsOf, fc.boolean(), (lengths, packing) => {
        const rows = rowsOf(lengths)
        const seen = new Map<number, number[]>()
        for (const plan of planEpoch(rows, { ...options, packing })) {
          const { rows: lines, tokens, ids, positions, segments } = buildBatch(rows, plan)
          expect(tokens % 8).toBe(0)
          for (let n = 0; n < lines; n++) {
            const owners = new Map<number, number>()
            for (let at = n * tokens; at < (n + 1) * tokens; at++) {
              if (segments[at] === PADDING) continue
              const row = Math.floor(ids[at]! / 1000)
              expect(positions[at]).toBe(ids[at]! % 1000)
              expect(owners.get(segments[at]!) ?? row).toBe(row) // one row a segment
              owners.set(segments[at]!, row)
              seen.set(row, [...(seen.get(row) ?? []), ids[at]!])
            }
            expect(new Set(owners.values()).size).toBe(owners.size) // one segment a row
          }
        }
        rows.forEach(({ ids }, row) => expect(seen.get(row)).toEqual([...ids]))
      }),
      { numRuns: 30 },
    )
  })
  it("asks the position before each label for it, within the same row, with the row's weight", () => {
    fc.assert(
      fc.property(lengthsOf, fc.integer({ min: 1, max: 5 }), (lengths, scoredFrom) => {
        const rows = rowsOf(lengths, scoredFrom)
        const labels: number[] = []
        for (const plan of planEpoch(rows, options)) {
          const batch = buildBatch(rows, plan, { scale: 0.5 })
          batch.scored.forEach((at, m) => {
            expect(batch.ids[at]).toBe(batch.labels[m]! - 1) // the token before, of the same row
            expect(batch.segments[at]).toBe(batch.segments[at + 1])
            expect(batch.weights[m]).toBe((1 + Math.floor(batch.labels[m]! / 1000)) / 2)
          })
          labels.push(...batch.labels)
        }
        const expected = rows.flatMap(({ ids, weights }) =>
          [...ids].filter((_, t) => weights[t]! > 0),
        )
        expect(labels.toSorted((a, b) => a - b)).toEqual(expected.toSorted((a, b) => a - b))
      }),
      { numRuns: 30 },
    )
  })
})

describe('a shared beginning', () => {
  it('is what all rows begin with, up to the first label, leaving each row a token', () => {
    expect(countSharedPrefix(alike([12, 9, 15], 6))).toBe(6)
    expect(countSharedPrefix(alike([12, 6, 15], 6))).toBe(5) // the second row keeps its last token
    expect(countSharedPrefix(rowsOf([12, 9, 15]))).toBe(0)
    const scored = alike([12, 9], 8).map(({ ids, weights }) => ({
      ids,
      weights: weights.map((weight, t) => (t === 5 ? 1 : weight)),
    }))
    expect(countSharedPrefix(scored)).toBe(5)
  })
  it('is not used for a few tokens, a single row, or rows that are labels from the start', () => {
    expect(countSharedPrefix(alike([12, 9], 3))).toBe(0)
    expect(countSharedPrefix(alike([12], 6))).toBe(0)
    const same = rowsOf([9, 9]).map(({ weights }) => ({
      ids: Int32Array.from({ length: 9 }, (_, t) => t),
      weights,
    }))
    expect(countSharedPrefix(same)).toBe(0)
  })
  it('is stored once in each packed sequence; rows continue from it, and its last token predicts their first labels', () => {
    const rows = alike([10, 8, 12], 6)
    const batch = buildBatch(rows, [[0, 1], [2]], { shared: 6 })
    expect(batch.tokens).toBe(16)
    const line = (values: Int32Array, n: number): number[] => [
      ...values.subarray(n * 16, (n + 1) * 16),
    ]
    expect(line(batch.segments, 0)).toEqual([
      ...Array(6).fill(SHARED_PREFIX),
      0,
      0,
      0,
      0,
      1,
      1,
      ...Array(4).fill(PADDING),
    ])
    expect(line(batch.positions, 0).slice(0, 12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 7])
    expect(line(batch.ids, 1).slice(0, 12)).toEqual([...rows[2]!.ids])
    expect([...batch.scored]).toEqual([5, 6, 7, 8, 5, 10, 21, 22, 23, 24, 25, 26])
    expect([...batch.labels]).toEqual([6, 7, 8, 9, 1006, 1007, 2006, 2007, 2008, 2009, 2010, 2011])
  })
  it('lets lines hold more rows', () => {
    const rows = alike(Array(40).fill(14), 10)
    const lines = (shared: number): number =>
      planEpoch(rows, { ...options, tokens: 32, shared }).flat().length
    expect([lines(0), lines(10)]).toEqual([20, 8])
  })
})
