import { describe, expect, it } from 'vitest'
import { findRepeatedKey } from './repeated-key.ts'

const find = (text: string) => findRepeatedKey(text, JSON.parse(text))

describe('a key that occurs twice', () => {
  it.each([
    ['{"a":1,"a":2}', 'a', 0],
    ['{"a":{"b":1,"c":[{"d":":","d":2}]}}', 'd', 0],
    ['[{"a":1},{"a":1, "x" : {}, "a" : ":"}]', 'a', 1],
    ['{"\\u0061":1,"a":2}', 'a', 0],
    ['{"__proto__":1,"__proto__":2}', '__proto__', 0],
    ['{"a":"","b":"\\":","":0,"":1}', '', 0],
  ])('is found in %s', (text, key, index) => {
    expect(find(text)).toEqual({ key, index })
  })
  it.each([
    '{"a":1,"b":2}',
    '{"a":":b","c":"\\":"}',
    '[{"a":":"},{"a":"x:"}]',
    '{"a":{"a":{"a":":"}}}',
    '{"a":["a",":a","a"],"b":[]}',
    '":"',
    '{}',
    '[]',
    '{"\\\\":":"}',
  ])('is not found in %s', (text) => {
    expect(find(text)).toBeUndefined()
  })
})
