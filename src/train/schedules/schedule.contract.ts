// The contract of every schedule.

import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import type { Schedule } from './schedule.ts'
import { computeLearningRateFactor } from './schedule-table.ts'

export function scheduleContract(schedule: Schedule): void {
  const settings = schedule.complete({})
  const factors = (steps: number, warmupSteps: number): number[] =>
    Array.from({ length: steps }, (_, i) =>
      computeLearningRateFactor(schedule, settings, i + 1, { steps, warmupSteps }),
    )

  it('stays within 0 and 1, and is finite for a single step', () => {
    for (const factor of [
      ...factors(50, 0),
      ...factors(50, 10),
      ...factors(1, 0),
      ...factors(2, 2),
      ...factors(3, 50),
    ]) {
      expect(factor).toBeGreaterThanOrEqual(0)
      expect(factor).toBeLessThanOrEqual(1)
    }
  })
  it('begins with the whole learning rate where there is no warm-up', () => {
    expect(factors(10, 0)[0]).toBe(1)
  })
  it('rises during the warm-up, to the whole learning rate', () => {
    const course = factors(40, 10)
    for (let i = 1; i < 10; i++) expect(course[i]).toBeGreaterThan(course[i - 1]!)
    expect(Math.max(...course.slice(9, 11))).toBe(1)
  })
  it('depends on the step alone', () => {
    expect(factors(30, 5).toReversed()).toEqual(
      Array.from({ length: 30 }, (_, i) =>
        computeLearningRateFactor(schedule, settings, 30 - i, { steps: 30, warmupSteps: 5 }),
      ),
    )
  })
  it('names its options with sentences, and takes its own defaults', () => {
    const defaults = Object.fromEntries(
      Object.entries(schedule.options).map(([name, spec]) => [name, spec.default]),
    )
    expect(settings).toEqual(defaults)
    expect(schedule.complete(defaults)).toEqual(defaults)
    for (const { about } of [schedule, ...Object.values(schedule.options)])
      expect(about?.length ?? 0).toBeGreaterThan(4)
  })
  it('refuses unknown options and bad values, all at once', () => {
    const bad = Object.keys(schedule.options).map((name) => [name, 'many'] as const)
    const wrong = () => schedule.complete({ surely: 1, unknown: 2, ...Object.fromEntries(bad) })
    expect(wrong).toThrow(OptionError)
    for (const name of ['"surely"', '"unknown"', ...bad.map(([option]) => `${option}: got`)])
      expect(wrong).toThrow(name)
  })
}
