import fc from 'fast-check'
import { expect, it } from 'vitest'
import { repeatedKey } from './json-keys.ts'

it.each([
  ['{"a":1,"a":2}', 'a'],
  ['{"x":{"b":1,"c":[{"d":1,"d":2}]}}', 'd'],
  [String.raw`{"a":1,"\u0061":2}`, 'a'],
  ['{"a" \n: 1, "a"\t:2}', 'a'],
  ['{"__proto__":1,"__proto__":2}', '__proto__'],
])('finds the key that %s repeats', (text, key) => {
  expect(repeatedKey(text)).toBe(key)
})

it.each(['{"a":"a","b":"a"}', '{"a":{"a":{"a":1}}}', '[{"a":1},{"a":2}]', String.raw`{"a\"":1,"a":2,"b":"{\"a\":"}`, '"a"'])(
  'finds none in %s',
  (text) => {
    expect(repeatedKey(text)).toBeUndefined()
  },
)

it('never finds one in what JSON.stringify wrote', () => {
  fc.assert(fc.property(fc.json(), (text) => repeatedKey(text) === undefined))
})
