import fc from 'fast-check'
import { expect, it } from 'vitest'
import { mergeRanges } from '../grammar.ts'
import { listUtf8Ranges } from './utf8-ranges.ts'

const encoder = new TextEncoder()
const isInside = (code: number, from: number, to: number): boolean => {
  const bytes = encoder.encode(String.fromCodePoint(code))
  return listUtf8Ranges([from, to]).some(
    (ranges) =>
      ranges.length === bytes.length &&
      ranges.every(([low, high], i) => low <= bytes[i]! && bytes[i]! <= high),
  )
}
const code = fc
  .oneof(
    fc.nat(0x10ffff),
    fc.nat(0x900),
    fc.constantFrom(0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff),
  )
  .filter((value) => value < 0xd800 || value > 0xdfff)

it('fits exactly the code points of a range', () => {
  fc.assert(
    fc.property(code, code, fc.array(code, { minLength: 20 }), (a, b, others) => {
      for (const [from, to] of mergeRanges([[Math.min(a, b), Math.max(a, b)]]))
        for (const one of [from, to, ...others])
          expect(isInside(one, from, to)).toBe(one >= from && one <= to)
    }),
    { numRuns: 300 },
  )
})

it('gives the sequences that the Unicode standard lists for all code points', () => {
  const all = mergeRanges([[0, 0x10ffff]]).flatMap(listUtf8Ranges)
  const hex = all.map((ranges) => ranges.map((range) => range.map((b) => b.toString(16)).join('-')))
  expect(hex).toEqual([
    ['0-7f'],
    ['c2-df', '80-bf'],
    ['e0-e0', 'a0-bf', '80-bf'],
    ['e1-ec', '80-bf', '80-bf'],
    ['ed-ed', '80-9f', '80-bf'],
    ['ee-ef', '80-bf', '80-bf'],
    ['f0-f0', '90-bf', '80-bf', '80-bf'],
    ['f1-f3', '80-bf', '80-bf', '80-bf'],
    ['f4-f4', '80-8f', '80-bf', '80-bf'],
  ])
})
