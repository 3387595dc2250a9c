import { expect, it } from 'vitest'
import { UsageError } from '../command.ts'
import { parseRopeScaling } from './rope-scaling-option.ts'

it('reads a type and a factor', () => {
  expect(parseRopeScaling(undefined)).toBeUndefined()
  expect(parseRopeScaling('yarn:4')).toEqual({ type: 'yarn', factor: 4 })
  expect(parseRopeScaling('linear:2.5')).toEqual({ type: 'linear', factor: 2.5 })
  expect(parseRopeScaling('longrope')).toEqual({ type: 'longrope' })
})

it.each([
  ['yarn', /got "yarn", expected a type and a factor, such as yarn:4/],
  ['longrope:', /got "longrope:"/],
  ['yarn:4:2048', /got "yarn:4:2048"/],
  ['yan:4', /--rope-scaling\.type: got "yan".*Did you mean "yarn"/],
  ['yarn:0.5', /--rope-scaling\.factor: got 0\.5, expected a number ≥ 1/],
  ['yarn:four', /--rope-scaling\.factor: got NaN/],
])('refuses %s', (text, problem) => {
  expect(() => parseRopeScaling(text)).toThrow(problem)
  expect(() => parseRopeScaling(text)).toThrow(UsageError)
})
