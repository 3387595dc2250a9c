import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EncodedSequence } from '../data/encode.ts'
import { planRun } from './batch-order.ts'

const rowsOf = (count: number): EncodedSequence[] =>
  Array.from({ length: count }, (_, i) => ({
    ids: new Int32Array(3 + (i % 5)),
    weights: new Float32Array(3 + (i % 5)),
  }))
const shape = { rows: 2, tokens: 8, packing: true, shared: 0, seed: 1 }

describe('planRun', () => {
  it('covers every row once an epoch, whatever the accumulation', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 5 }),
        (count, epochs, accumulation) => {
          const plan = planRun(rowsOf(count), { ...shape, epochs, accumulation })
          const seen = new Map<number, number[]>()
          for (let step = 1; step <= plan.steps; step++) {
            expect(plan.batchesOf(step).length).toBeLessThanOrEqual(accumulation)
            const epoch = plan.epochOf(step)
            seen.set(epoch, [...(seen.get(epoch) ?? []), ...plan.batchesOf(step).flat(2)])
            expect(plan.endsEpoch(step)).toBe(
              step === plan.steps || plan.epochOf(step + 1) === epoch + 1,
            )
          }
          expect([...seen.keys()]).toEqual(Array.from({ length: epochs }, (_, i) => i + 1))
          for (const rows of seen.values())
            expect(rows.toSorted((a, b) => a - b)).toEqual(
              Array.from({ length: count }, (_, i) => i),
            )
        },
      ),
      { numRuns: 40 },
    )
  })
  it('runs over as many epochs as a number of steps needs, and stops there', () => {
    const epochSteps = planRun(rowsOf(20), { ...shape, epochs: 1, accumulation: 1 }).steps
    const plan = planRun(rowsOf(20), {
      ...shape,
      epochs: 1,
      accumulation: 1,
      steps: 2 * epochSteps + 1,
    })
    expect(plan.steps).toBe(2 * epochSteps + 1)
    expect(plan.epochOf(plan.steps)).toBe(3)
    expect(plan.endsEpoch(plan.steps)).toBe(false)
  })
  it('has an order of its own for each epoch', () => {
    const plan = planRun(rowsOf(40), { ...shape, epochs: 2, accumulation: 1 })
    const firstOfSecond = Array.from({ length: plan.steps }, (_, i) => i + 1).find(
      (step) => plan.epochOf(step) === 2,
    )!
    expect(plan.batchesOf(firstOfSecond)).not.toEqual(plan.batchesOf(1))
  })
})
