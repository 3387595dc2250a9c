import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { scheduleContract } from './schedule.contract.ts'
import { computeLearningRateFactor, getSchedule, schedules } from './schedule-table.ts'

interface Case {
  readonly schedule: string
  readonly options: Record<string, unknown>
  readonly steps: number
  readonly warmupSteps: number
  /** null where the reference has a warm-up of another form. */
  readonly factors: readonly (number | null)[]
}
const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/schedules/fixtures.json', import.meta.url), 'utf8'),
) as Case[]

describe.each([...schedules.values()].map((schedule) => [schedule.name, schedule] as const))(
  '%s',
  (name, schedule) => {
    scheduleContract(schedule)

    const cases = golden
      .filter((row) => row.schedule === name)
      .map((row) => [JSON.stringify(row.options), row] as const)
    it('has reference factors', () => {
      expect(cases.length).toBeGreaterThan(0)
    })
    it.each(cases)(
      'is as in transformers and torch with %s',
      (_, { options, steps, warmupSteps, factors }) => {
        const settings = schedule.complete(options)
        factors.forEach((expected, i) => {
          if (expected === null) return
          expect(
            computeLearningRateFactor(schedule, settings, i + 1, { steps, warmupSteps }),
          ).toBeCloseTo(expected, 12)
        })
      },
    )
  },
)

describe('schedules', () => {
  it('are named in the error for an unknown one', () => {
    expect(() => getSchedule('cosin')).toThrow(OptionError)
    expect(() => getSchedule('cosin')).toThrow(
      'constant, linear, cosine, cosine-restarts, exponential, step, polynomial, one-cycle',
    )
  })
  it('that need a length take one from the run where none is given', () => {
    const end = (name: string, step: number) => {
      const schedule = getSchedule(name)
      return computeLearningRateFactor(schedule, schedule.complete({}), step, {
        steps: 9,
        warmupSteps: 0,
      })
    }
    expect(end('exponential', 9)).toBeCloseTo(0.01 ** (8 / 9), 12)
    expect([1, 3, 4, 6, 7, 9].map((step) => end('step', step).toFixed(3))).toEqual([
      '1.000',
      '1.000',
      '0.100',
      '0.100',
      '0.010',
      '0.010',
    ])
  })
})
