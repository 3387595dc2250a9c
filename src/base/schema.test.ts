import { describe, expect, it } from 'vitest'
import { OptionError } from './errors.ts'
import {
  checkOptions,
  either,
  findOptionProblems,
  findValueProblems,
  flag,
  integer,
  listOf,
  number,
  object,
  oneOf,
  readGivenOptions,
  readOptions,
  string,
} from './schema.ts'

const table = {
  share: number({ default: 0.5, above: 0, to: 1, about: 'a share' }),
  count: integer({ from: 2, below: 9, about: 'a count' }),
  loud: flag({ default: false, about: 'a flag' }),
  word: oneOf(['a', 'b'], { default: 'a', about: 'a word' }),
}

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
  it('reports for all wrong values at once what they must be', () => {
    const wrong = { share: 0, count: 9, loud: 1, word: 'c', other: 1 }
    expect(() => readOptions('Test', wrong, table)).toThrow(OptionError)
    expect(() => readOptions('Test', wrong, table)).toThrow(
      'Test: there is no option "other" (there are share, count, loud, word); ' +
        'share: got 0, expected a number above 0 and at most 1; ' +
        'count: got 9, expected an integer from 2 to below 9; ' +
        'loud: got 1, expected true or false; word: got "c", expected "a", "b".',
    )
    for (const value of [NaN, Infinity, '1', null, 2.5])
      expect(findValueProblems({ count: value }, table)).toHaveLength(1)
    expect(findValueProblems({ elsewhere: 1 }, table)).toEqual([])
  })
  it('names the option that was probably meant', () => {
    expect(() => readOptions('Test', { cuont: 3 }, table)).toThrow(
      'Test: there is no option "cuont". Did you mean "count"?',
    )
    expect(() => readOptions('Test', { word: 'loud' }, { word: oneOf(['aloud', 'b']) })).toThrow(
      'word: got "loud", expected "aloud", "b". Did you mean "aloud"?',
    )
    expect(() => checkOptions('Test', 'text', table)).toThrow(
      'Test: got "text", expected an object',
    )
  })
  it('checks options within options by their path', () => {
    const nested = { batch: object({ rows: integer({ from: 1 }) }), tags: listOf(string()) }
    expect(findOptionProblems({ batch: { row: 1, rows: 0 }, tags: [1] }, nested)).toEqual([
      'there is no option "batch.row". Did you mean "batch.rows"?',
      'batch.rows: got 0, expected an integer ≥ 1',
      'tags: got [1], expected a list, each a string',
    ])
    expect(findOptionProblems({ batch: { rows: 2 }, tags: [] }, nested)).toEqual([])
    const optional = { batch: either(nested.batch, oneOf([false])) }
    expect(findOptionProblems({ batch: false }, optional)).toEqual([])
    expect(findOptionProblems({ batch: { row: 1 } }, optional)).toEqual([
      'there is no option "batch.row". Did you mean "batch.rows"?',
    ])
    expect(findOptionProblems({ batch: true }, optional)).toEqual([
      'batch: got true, expected an object or false',
    ])
  })
  it('gives only what was given where no defaults are wanted', () => {
    expect(readGivenOptions('Test', { count: 3, loud: undefined }, table)).toEqual({ count: 3 })
  })
  it('knows no inherited name', () => {
    expect(() => readOptions('Test', { toString: 1 }, table)).toThrow('no option "toString"')
  })
  it('words what is expected', () => {
    expect(number().expected).toBe('a number')
    expect(number({ to: 3 }).expected).toBe('a number to 3')
    expect(number({ above: 0, to: Infinity }).expected).toBe('a number above 0, or Infinity')
    expect(number({ above: 0, to: Infinity }).is(Infinity)).toBe(true)
    expect(integer({ from: 1 }).expected).toBe('an integer ≥ 1')
    expect(string({ filled: true }).expected).toBe('a string that is not empty')
    expect(either(flag(), integer({ from: 1 })).expected).toBe('true or false or an integer ≥ 1')
  })
})
