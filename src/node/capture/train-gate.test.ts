import { expect, it } from 'vitest'
import { chooseAnswersFrom } from './train-gate.ts'

const make = (count: number, confidence: number, isGood: boolean) =>
  Array.from({ length: count }, () => ({ confidence, isGood }))

it('trusts from the confidence on at which enough answers are good, at the low end of the interval', () => {
  const calls = [...make(40, 0.9, true), ...make(1, 0.7, true), ...make(20, 0.5, false)]
  expect(chooseAnswersFrom(calls, 0.9)).toBeCloseTo(0.6)
  expect(chooseAnswersFrom([...calls, ...make(60, 0.4, true)], 0.6)).toBeCloseTo(0.4)
})
it('trusts nothing where the calls are too few, or good and bad ones look alike', () => {
  expect(chooseAnswersFrom(make(34, 0.99, true), 0.9)).toBeUndefined()
  expect(chooseAnswersFrom(make(35, 0.99, true), 0.9)).toBe(0.99)
  expect(chooseAnswersFrom([...make(400, 1, true), ...make(60, 1, false)], 0.9)).toBeUndefined()
  // a router that saw no good call says 0 of each
  expect(chooseAnswersFrom(make(100, 0, true), 0.9)).toBeUndefined()
})
