import fc from 'fast-check'
import { expect, it } from 'vitest'
import { findJsonProblem } from './json-problem.ts'

it.each([
  ['{"a":1,"a":2}', 'a'],
  ['{"x":{"b":1,"c":[{"d":1,"d":2}]}}', 'd'],
  [String.raw`{"a":1,"\u0061":2}`, 'a'],
  ['{"a" \n: 1, "a"\t:2}', 'a'],
  ['{"__proto__":1,"__proto__":2}', '__proto__'],
])('finds the key that %s repeats', (text, key) => {
  expect(findJsonProblem(text, 9)).toBe(`contains the key "${key}" twice`)
})

it.each([
  '{"a":"a","b":"a"}',
  '{"a":{"a":{"a":1}}}',
  '[{"a":1},{"a":2}]',
  String.raw`{"a\"":1,"a":2,"b":"{\"a\":"}`,
  '"a"',
])('finds nothing in %s', (text) => {
  expect(findJsonProblem(text, 9)).toBeUndefined()
})

it('finds nesting beyond what is allowed, in lists and objects, not in strings', () => {
  expect(findJsonProblem('[[[1]],[2]]', 3)).toBeUndefined()
  expect(findJsonProblem('[[[1]],[2]]', 2)).toBe('nests more than 2 deep')
  expect(findJsonProblem('{"a":{"b":[', 2)).toBe('nests more than 2 deep')
  expect(findJsonProblem('["[[[["]', 1)).toBeUndefined()
})

it('finds nothing in what JSON.stringify wrote', () => {
  fc.assert(fc.property(fc.json(), (text) => findJsonProblem(text, 1000) === undefined))
})

it('ends on text that is not JSON', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'a', '\u0000')),
      (chars) => {
        try {
          return typeof findJsonProblem(chars.join(''), 5) !== 'number'
        } catch (error) {
          return error instanceof SyntaxError
        }
      },
    ),
  )
})
