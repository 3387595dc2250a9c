import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { checkPatience, isOutOfPatience, countStaleValidations } from './early-stopping.ts'

const of = (...losses: number[]) => losses.map((loss, i) => ({ step: i + 1, loss }))

describe('early stopping', () => {
  it('counts validations since the last better one', () => {
    expect(countStaleValidations(of(), 0)).toBe(0)
    expect(countStaleValidations(of(3, 2, 1), 0)).toBe(0)
    expect(countStaleValidations(of(3, 2, 2, 2.5), 0)).toBe(2)
    expect(countStaleValidations(of(3, NaN, 2.9), 0)).toBe(0)
    expect(countStaleValidations(of(NaN, NaN), 0)).toBe(2)
  })
  it('takes only what is better by more than the minimum, measured from the last that was', () => {
    expect(countStaleValidations(of(3, 2.95, 2.9, 2.85), 0.2)).toBe(3)
    expect(countStaleValidations(of(3, 2.95, 2.9, 2.75), 0.2)).toBe(0) // small steps add up
  })
  it('ends the run when patience is used up, and never without one', () => {
    expect(isOutOfPatience(of(1, 2), { patience: 2, minimumDelta: 0 })).toBe(false)
    expect(isOutOfPatience(of(1, 2, 3), { patience: 2, minimumDelta: 0 })).toBe(true)
    expect(isOutOfPatience(of(1, 2, 3), { minimumDelta: 0 })).toBe(false)
  })
  it('is refused where it could never happen', () => {
    expect(() => checkPatience({ patience: 2, minimumDelta: 0 }, 3)).not.toThrow()
    expect(() => checkPatience({ minimumDelta: 0 }, 0)).not.toThrow()
    expect(() => checkPatience({ patience: 3, minimumDelta: 0 }, 3)).toThrow(OptionError)
    expect(() => checkPatience({ patience: 3, minimumDelta: 0 }, 3)).toThrow(
      'the run has 3 validations',
    )
    expect(() => checkPatience({ patience: 1, minimumDelta: 0 }, 0)).toThrow('nothing is validated')
  })
})
