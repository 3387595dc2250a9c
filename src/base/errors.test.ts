import { describe, expect, it } from 'vitest'
import { FormatError, GraftError } from './errors.ts'

describe('GraftError.isInstance', () => {
  it.each([
    ['an error of ours', new FormatError('x'), true],
    [
      'one that got its class afterwards',
      Object.setPrototypeOf(new Error('x'), FormatError.prototype),
      true,
    ],
    ['another error', new TypeError('x'), false],
    ['no error', 'x', false],
    ['nothing', undefined, false],
  ])('of %s', (_, value, expected) => expect(GraftError.isInstance(value)).toBe(expected))
})
