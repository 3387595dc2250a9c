import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { expectedValue, type OptionTable, readOptions, valueProblems } from './option-table.ts'

const table = {
  share: { type: 'number', default: 0.5, above: 0, most: 1, about: 'a share' },
  count: { type: 'integer', least: 2, below: 9, about: 'a count' },
  loud: { type: 'boolean', default: false, about: 'a flag' },
  word: { type: 'text', default: 'a', choices: ['a', 'b'], about: 'a word' },
} as const satisfies OptionTable

describe('an option table', () => {
  it('fills in defaults; an option without one has no value', () => {
    expect(readOptions('Test', {}, table)).toEqual({
      share: 0.5,
      count: undefined,
      loud: false,
      word: 'a',
    })
    expect(readOptions('Test', { count: 8, share: 1, loud: true, word: 'b' }, table)).toEqual({
      share: 1,
      count: 8,
      loud: true,
      word: 'b',
    })
  })
  it('says of every wrong value what it must be, at once', () => {
    const wrong = { share: 0, count: 9, loud: 1, word: 'c', other: 1 }
    expect(() => readOptions('Test', wrong, table)).toThrow(OptionError)
    expect(() => readOptions('Test', wrong, table)).toThrow(
      'Test: there is no option "other" (there are share, count, loud, word); share must be a number above 0 and at most 1, got 0; ' +
        'count must be a whole number from 2 to below 9, got 9; loud must be true or false, got 1; word must be one of a, b, got "c".',
    )
    for (const value of [NaN, Infinity, '1', null, 2.5])
      expect(valueProblems(table, { count: value })).toHaveLength(1)
    expect(valueProblems(table, { elsewhere: 1 })).toEqual([])
  })
  it('words what is expected', () => {
    expect(expectedValue({ type: 'number', about: '' })).toBe('a number')
    expect(expectedValue({ type: 'number', most: 3, about: '' })).toBe('a number to 3')
    expect(expectedValue({ type: 'integer', least: 1, about: '' })).toBe('a whole number from 1')
    expect(expectedValue({ type: 'text', about: '' })).toBe('a text')
  })
})
