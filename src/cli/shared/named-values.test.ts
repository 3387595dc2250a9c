import { describe, expect, it } from 'vitest'
import { UsageError } from '../command.ts'
import { parseNamedValues } from './named-values.ts'

describe('namedValues', () => {
  it('reads numbers, truths and texts by name', () => {
    expect(
      parseNamedValues('--x', 'power=2, minimum=1e-1,nesterov=true,loud=false,word=a'),
    ).toEqual({
      power: 2,
      minimum: 0.1,
      nesterov: true,
      loud: false,
      word: 'a',
    })
    expect(parseNamedValues('--x', undefined)).toEqual({})
    expect(parseNamedValues('--x', ' ')).toEqual({})
  })
  it.each(['power', 'power=', '=2', 'a=1,', 'a=1=2', 'a=1,a=2'])('refuses %s', (text) => {
    expect(() => parseNamedValues('--schedule-options', text)).toThrow(UsageError)
    expect(() => parseNamedValues('--schedule-options', text)).toThrow('--schedule-options: ')
  })
})
