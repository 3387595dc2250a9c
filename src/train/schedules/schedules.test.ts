import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { learningRateFactor, scheduleNamed, schedules } from './schedules.ts'

const factors = (name: string, steps: number, warmup: number): number[] =>
  Array.from({ length: steps }, (_, i) => learningRateFactor(scheduleNamed(name), i + 1, steps, warmup))

// transformers 5: get_*_schedule_with_warmup with 3 steps of warm-up; the learning rate that each optimiser step uses.
const golden: [string, number[]][] = [
  [
    'cosine',
    [
      0,
      1 / 3,
      2 / 3,
      1,
      0.9504844339512095,
      0.8117449009293668,
      0.6112604669781572,
      0.38873953302184283,
      0.18825509907063326,
      0.04951556604879048,
    ],
  ],
  ['linear', [0, 1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]],
  ['constant', [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1]],
]

describe.each([...schedules.keys()])('%s', (name) => {
  it('stays within 0 and 1, and is finite for a single step', () => {
    for (const factor of [...factors(name, 50, 0), ...factors(name, 50, 10), ...factors(name, 1, 0), ...factors(name, 2, 2)]) {
      expect(factor).toBeGreaterThanOrEqual(0)
      expect(factor).toBeLessThanOrEqual(1)
    }
  })
  it('begins with the whole learning rate where there is no warm-up', () => {
    expect(factors(name, 10, 0)[0]).toBe(1)
  })
})

describe('schedules', () => {
  it.each(golden)('%s is as in transformers', (name, expected) => {
    factors(name, 10, 3).forEach((factor, i) => expect(factor).toBeCloseTo(expected[i]!, 12))
  })
  it('are named in the error for an unknown one', () => {
    expect(() => scheduleNamed('cosin')).toThrow(OptionError)
    expect(() => scheduleNamed('cosin')).toThrow('constant, linear, cosine')
  })
})
