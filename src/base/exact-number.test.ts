import { describe, expect, it } from 'vitest'
import { ExactNumber, formatPythonFloat, parseExactJson } from './exact-number.ts'

describe('formatPythonFloat', () => {
  // as Python 3.11 prints them
  it.each([
    [1, '1.0'],
    [-0, '-0.0'],
    [0.1, '0.1'],
    [1e-4, '0.0001'],
    [1e-5, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [1e15, '1000000000000000.0'],
    [1e16, '1e+16'],
    [-1.25e22, '-1.25e+22'],
    [5e-324, '5e-324'],
  ])('of %d is %s', (value, text) => {
    expect(formatPythonFloat(value)).toBe(text)
  })
})

describe('parseExactJson', () => {
  it('keeps numbers that JavaScript prints in another way, and no other', () => {
    const read = parseExactJson('{"a": 1.0, "b": [2512292042121000001, 3, 0.5], "c": 1e3}')
    expect(read).toEqual({
      a: new ExactNumber('1.0'),
      b: [new ExactNumber('2512292042121000001'), 3, 0.5],
      c: new ExactNumber('1000.0'),
    })
    expect(JSON.stringify(read)).toBe('{"a":1.0,"b":[2512292042121000001,3,0.5],"c":1000.0}')
    expect(Number((read as { a: unknown }).a) + 1).toBe(2)
  })
  it('takes numbers in texts for text', () => {
    expect(parseExactJson('{"a": "x: 1.0"}')).toEqual({ a: 'x: 1.0' })
  })
})
