// Experts as text: every part of the spelling, names that look like weights, and what is refused.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { type ExpertSpec, formatExpertSpec, parseExpertSpec } from './expert-spec.ts'

const make = (...given: [name: string, weight?: number][]): ExpertSpec => ({
  parts: given.map(([name, weight = 1]) => ({ name, weight })),
})

describe('parseExpertSpec', () => {
  it.each([
    ['coder', make(['coder'])],
    ['coder:0.7+security:0.3', make(['coder', 0.7], ['security', 0.3])],
    [' coder : 0.7 + security ', make(['coder', 0.7], ['security'])],
    ['a:-1e-2+b:+.5+c:2.', make(['a', -0.01], ['b', 0.5], ['c', 2])],
    ['a:1e+3+b', make(['a', 1000], ['b'])],
    ['a:0', make(['a', 0])],
    ['a:-0', make(['a', 0])],
    ['"c++":0.5+x', make(['c++', 0.5], ['x'])],
    ['user/repo@main', make(['user/repo@main'])],
  ])('reads %s', (text, expected) => {
    expect(parseExpertSpec(text)).toEqual(expected)
  })

  it.each([
    ['a:b', make(['a:b'])],
    ['a:0.5', make(['a', 0.5])],
    ['a:', make(['a:'])],
    [':a', make([':a'])],
    ['a:b:0.5', make(['a:b', 0.5])],
    ['a::0.5', make(['a:', 0.5])],
    ['a:0.5x', make(['a:0.5x'])],
    ['a:NaN', make(['a:NaN'])],
    ['a:0.5:b', make(['a:0.5:b'])],
    ['a: 0.5 ', make(['a', 0.5])],
  ])('takes a number after a colon as a weight, all else as the name: %s', (text, expected) => {
    expect(parseExpertSpec(text)).toEqual(expected)
  })

  it.each([
    ['base:coder', make(['coder'])],
    ['llama : coder', make(['coder'])],
    ['llama:coder:0.7+poet', make(['coder', 0.7], ['poet'])],
    ['llama', make()],
    ['llama:', make()],
    [' llama: ', make()],
    ['llama:0.5', make()],
    ['llamas:coder', make(['llamas:coder'])],
    ['llama:0.6+coder:0.4', make(['coder', 0.4])],
  ])('takes the base’s own name away: %s', (text, expected) => {
    const base = text.startsWith('base') ? 'base' : 'llama'
    expect(parseExpertSpec(text, { base })).toEqual(expected)
  })

  it('reads the base alone', () => {
    expect(parseExpertSpec('base')).toEqual(make())
    expect(parseExpertSpec('"base"')).toEqual(make(['base']))
  })

  it('reads weights by layer', () => {
    expect(parseExpertSpec('coder:0.2@0-9/0.8@10+poet')).toEqual({
      parts: [
        {
          name: 'coder',
          weight: [
            { layers: [0, 9], weight: 0.2 },
            { layers: [10, 10], weight: 0.8 },
          ],
        },
        { name: 'poet', weight: 1 },
      ],
    })
  })

  it('reads switches and fades along the answer', () => {
    expect(parseExpertSpec('coder > 40 > poet:0.5+x>60-80>base')).toEqual({
      parts: [{ name: 'coder', weight: 1 }],
      later: [
        {
          from: 40,
          to: 40,
          parts: [
            { name: 'poet', weight: 0.5 },
            { name: 'x', weight: 1 },
          ],
        },
        { from: 60, to: 80, parts: [] },
      ],
    })
  })

  it.each([
    ['', /place 1 is empty/],
    ['a+', /place 3 is empty/],
    ['+a', /place 1 is empty/],
    [':0.5', /place 1 is empty/],
    ['c++', /place 3 is empty.*in quotes/],
    ['a:1e999', /weight 1e999: expected a finite number/],
    ['"a', /is not a JSON string/],
    ['"a"b', /is not a JSON string/],
    ['"a":x', /expected a weight/],
    ['a>b', /after > at place 2: expected tokens/],
    ['a>40', /expected tokens of the answer and an expert/],
    ['a>40>', /is empty/],
    ['a>0>b', /at least 1/],
    ['a>9-4>b', /the smaller one first/],
    ['a>20-60>b>50>c', /tokens 50: expected at least 60/],
    ['a:0.5@4-2', /layers 4-2/],
    ['a:0.5@0-4/1@4', /layer 4 has two weights/],
    [5 as never, /got 5, expected a string/],
  ])('refuses %s', (text, message) => {
    expect(() => parseExpertSpec(text)).toThrow(OptionError)
    expect(() => parseExpertSpec(text)).toThrow(message)
  })
})

const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x))
const layers = fc
  .uniqueArray(fc.nat(400), { minLength: 1, maxLength: 6 })
  .chain((ends) =>
    fc.tuple(fc.constant(ends.sort((a, b) => a - b)), fc.array(finite, { minLength: 6 })),
  )
  .map(([ends, weights]) =>
    ends.flatMap((end, i) =>
      i % 2 === 1
        ? []
        : [{ layers: [end, ends[i + 1] ?? end] as const, weight: weights[i] ?? weights[0] ?? 1 }],
    ),
  )
const name = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ minLength: 1, unit: 'binary' }),
  fc.string({
    minLength: 1,
    unit: fc.constantFrom(...['a', 'e', '1', '5', '.', ':', '+', '-', '>', '"', '@', '/', ' ']),
  }),
  fc.constantFrom('base', 'x:1e', 'a:', ':0.5'),
)
const stage = fc.array(fc.record({ name, weight: fc.oneof(finite, layers) }), { maxLength: 4 })
const spec = fc
  .tuple(stage, fc.array(fc.tuple(stage, fc.nat(50), fc.nat(50)), { maxLength: 3 }))
  .map(([parts, taken]): ExpertSpec => {
    let at = 1
    const stages = taken.map(([own, before, length]) => {
      const from = at + before
      at = from + length
      return { from, to: at, parts: own }
    })
    return stages.length === 0 ? { parts } : { parts, later: stages }
  })

describe('formatExpertSpec', () => {
  it('gives the text that is read as the same', () => {
    fc.assert(
      fc.property(spec, (one) => {
        expect(parseExpertSpec(formatExpertSpec(one))).toEqual(one)
      }),
      { numRuns: 2000 },
    )
  })
  it('writes names as they are where nothing else could be meant', () => {
    const text = 'coder:0.7+user/repo:x>20-60>base>80>poet:0.2@0-9/0.8@10'
    expect(formatExpertSpec(parseExpertSpec(text))).toBe(text)
  })
})
