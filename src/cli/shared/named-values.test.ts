import { describe, expect, it } from 'vitest'
import { UsageError } from '../command.ts'
import { namedValues } from './named-values.ts'

describe('namedValues', () => {
  it('reads numbers, truths and texts by name', () => {
    expect(namedValues('--x', 'power=2, minimum=1e-1,nesterov=true,loud=false,word=a')).toEqual({
      power: 2,
      minimum: 0.1,
      nesterov: true,
      loud: false,
      word: 'a',
    })
    expect(namedValues('--x', undefined)).toEqual({})
    expect(namedValues('--x', ' ')).toEqual({})
  })
  it.each(['power', 'power=', '=2', 'a=1,', 'a=1=2', 'a=1,a=2'])('refuses %s', (text) => {
    expect(() => namedValues('--schedule-options', text)).toThrow(UsageError)
    expect(() => namedValues('--schedule-options', text)).toThrow('--schedule-options: ')
  })
})
