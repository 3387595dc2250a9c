import { describe, expect, it } from 'vitest'
import { findDivergence, computeLossLimit } from './divergence.ts'

const of = (...losses: number[]) => losses.map((loss) => ({ loss }))
/** The step, counted from 1, at which a run with these losses is stopped. */
const stopsAt = (losses: readonly number[], factor = 10, chance?: number): number | undefined => {
  const bounds = { factor, ...(chance !== undefined && { chance }) }
  const found = losses.findIndex(
    (loss, i) => findDivergence(of(...losses.slice(0, i)), loss, bounds) !== undefined,
  )
  return found < 0 ? undefined : found + 1
}

describe('divergence', () => {
  it('is a loss that stays above ten times its start', () => {
    expect(stopsAt([2, 2, 2, 2, 2, 30, 31, 32, 33])).toBe(8) // three of five are high
    expect(stopsAt([2, 2, 2, 2, 2, 19, 19, 19, 19])).toBe(undefined)
    expect(stopsAt([2, 2, 2, 2, 2, 19, 19, 19, 19], 5)).toBe(8)
  })
  it('is noticed where a run blows up in its first steps, which are its start too', () => {
    expect(stopsAt([4, 60, 300, 500, 900])).toBe(3)
  })
  it('is not one bad batch, nor two', () => {
    expect(stopsAt([2, 2, 500, 2, 2, 2, 400, 300, 2, 2, 2, 500, 2])).toBe(undefined)
  })
  it('is not a rise from nearly nothing to little, nor a first batch that was too hard', () => {
    expect(stopsAt([0.001, 0.5, 0.6, 0.7, 0.6, 0.8])).toBe(undefined)
    expect(stopsAt([50, 2, 2, 2, 2, 19, 19, 19, 19])).toBe(undefined)
    expect(stopsAt([50, 2, 2, 2, 2, 21, 21, 21, 21])).toBe(8)
  })
  it('is a model that has come to know nothing, too', () => {
    const chance = Math.log(512)
    const dead = Array.from({ length: 14 }, () => 6.2383)
    expect(stopsAt([4.5, 5, ...dead], 10, chance)).toBe(12)
    expect(stopsAt([4.5, 5, ...dead])).toBe(undefined)
    expect(stopsAt([6, 6, ...dead], 10, chance)).toBe(undefined) // it knew little before
    expect(stopsAt([4.5, 5, ...dead.slice(0, 8), 6, ...dead.slice(0, 8), 5], 10, chance)).toBe(
      undefined,
    )
    expect(stopsAt([4.5, 5, ...dead], 0, chance)).toBe(undefined)
    expect(computeLossLimit(of(4.5, 5), { factor: 10, chance })).toBeCloseTo(6.232, 3)
    expect(findDivergence(of(4.5, ...dead), 6.2, { factor: 10, chance })).toBe(undefined)
    expect(findDivergence(of(4.5, ...dead), 7, { factor: 10, chance })).toBe(
      'the loss is 7.000 and has stayed at or above 6.238 for 10 steps, as if the model knew nothing',
    )
  })
  it('is not looked for with a factor of 0', () => {
    expect(computeLossLimit(of(1, 1, 1), { factor: 0 })).toBe(Infinity)
    expect(stopsAt([1, 1e9, 1e9, 1e9, 1e9], 0)).toBe(undefined)
  })
})
