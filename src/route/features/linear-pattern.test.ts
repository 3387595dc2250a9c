import { describe, expect, it } from 'vitest'
import { GrammarError, OptionError } from '../../base/errors.ts'
import { compilePattern } from './linear-pattern.ts'

const texts = [
  '',
  'select',
  'SELECT name FROM users WHERE id = 7',
  'please select\nfrom a list',
  'order 1234-5678 now',
  'aaaaaaaaab',
  'naïve café',
  'x_1 y',
  'foo',
  'barfoo',
]
const patterns = [
  'select',
  '\\bselect\\b.*\\bfrom\\b',
  '^order \\d{4}-\\d{4}',
  '(a|aa)+b$',
  'foo|bar',
  '^$',
  'x?y',
  '[^a-z ]{2,}',
  '\\Bfoo',
  'caf.$',
  '(?:ab?){0,3}c|^foo$',
  '\\w+\\s\\w+',
]

describe('a linear pattern', () => {
  it.each(patterns)('%s matches what RegExp matches', (source) => {
    const pattern = compilePattern(source, 'rule')
    for (const text of texts)
      expect([text, pattern.matches(text)]).toEqual([text, new RegExp(source, 'iu').test(text)])
  })
  it('takes linear time where RegExp takes exponential time', () => {
    const pattern = compilePattern('^(a+)+$', 'rule')
    const start = performance.now()
    expect(pattern.matches(`${'a'.repeat(8000)}b`)).toBe(false)
    expect(performance.now() - start).toBeLessThan(1000)
  })
  it.each(['(?=a)b', '(a)\\1', '(', 'a{2,1}'])('%s is refused', (source) => {
    expect(() => compilePattern(source, 'rules.sql.patterns[0]')).toThrow(GrammarError)
    expect(() => compilePattern(source, 'rules.sql.patterns[0]')).toThrow(
      /rules\.sql\.patterns\[0\]/,
    )
  })
  it('refuses a pattern that is too large', () => {
    expect(() => compilePattern('(a{1,100}){1,100}', 'rule')).toThrow(OptionError)
  })
})
