// Shares along an answer: switches, fades, and how long they stay.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { computeShares, findNextChange, type StageSpan } from './fade-plan.ts'

const start = { from: 0, to: 0 }
const shares = (stages: readonly StageSpan[], index: number): number[] => {
  const list = new Array<number>(stages.length).fill(0)
  for (const { stage, share } of computeShares(stages, index)) list[stage] = share
  return list
}

describe('computeShares', () => {
  it('switches at a token', () => {
    const stages = [start, { from: 4, to: 4 }]
    expect([-3, 0, 3].map((i) => shares(stages, i))).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ])
    expect([4, 5, 99].map((i) => shares(stages, i))).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ])
  })
  it('fades evenly between two tokens, and on to a third expert', () => {
    const stages = [start, { from: 2, to: 6 }, { from: 6, to: 8 }]
    expect([0, 2, 3, 5, 6, 7, 8].map((i) => shares(stages, i))).toEqual([
      [1, 0, 0],
      [1, 0, 0],
      [0.75, 0.25, 0],
      [0.25, 0.75, 0],
      [0, 1, 0],
      [0, 0.5, 0.5],
      [0, 0, 1],
    ])
  })
  it('is one share where the prompt alone is read', () => {
    expect(computeShares([start, { from: 0, to: 4 }], -10)).toEqual([{ stage: 0, share: 1 }])
  })
})

const spans = fc
  .array(fc.tuple(fc.nat(5), fc.nat(5)), { minLength: 1, maxLength: 4 })
  .map((steps) => {
    let at = 0
    return [
      start,
      ...steps.map(([gap, length], i) => {
        const from = at + gap + (i === 0 && length === 0 && gap === 0 ? 1 : 0)
        at = from + length
        return { from, to: at }
      }),
    ]
  })

it('shares sum to 1, and change exactly where findNextChange says', () => {
  fc.assert(
    fc.property(spans, fc.integer({ min: -3, max: 60 }), (stages, index) => {
      const own = shares(stages, index)
      expect(own.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 12)
      const next = findNextChange(stages, index)
      for (let i = index; i < Math.min(next, 70); i++) expect(shares(stages, i)).toEqual(own)
      expect(next === Infinity || `${shares(stages, next)}` !== `${own}`).toBe(true)
    }),
  )
})
