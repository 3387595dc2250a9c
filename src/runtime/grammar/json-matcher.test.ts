import { expect, it } from 'vitest'
import type { LengthPlan } from '../../formats/grammar/schema/length-plan.ts'
import { readGrammar } from '../../formats/grammar/read-grammar.ts'
import { hasBit } from '../decode/processors/grammar-mask.ts'
import type { TokenMatcher } from './grammar-host.ts'
import { createJsonMatcher } from './json-matcher.ts'
import { JsonPosition } from './json-position.ts'
import type { Vocabulary } from './vocabulary.ts'

const encoder = new TextEncoder()
const words = [
  '{"a":"',
  '"',
  'x',
  'xyz',
  'é日',
  '\\',
  'n',
  '","',
  '}',
  ' ',
  '    ',
  '\n',
  'xy"}',
  '"ab"',
]
const vocabulary: Vocabulary = {
  key: 'words',
  size: words.length,
  tokens: words.map((word) => encoder.encode(word)),
}
const all = { mask: Int32Array.of(-1), ready: () => Promise.resolve(), accept() {}, close() {} }

const allow = (plan: LengthPlan | undefined, text: readonly string[]): string[] => {
  const matcher = createJsonMatcher(all as TokenMatcher, vocabulary, plan)
  for (const word of text) matcher.accept(words.indexOf(word))
  return words.filter((_, id) => hasBit(matcher.mask!, id))
}

const planOf = (schema: object): LengthPlan =>
  readGrammar({ type: 'json-schema', schema: schema as never }).lengths!

const plan = planOf({
  properties: { a: { type: 'string', maxLength: 30 }, b: { type: 'string', minLength: 28 } },
})
const long = Array.from({ length: 9 }, () => 'xyz')

it('lets a long string grow to its length and no further', () => {
  const open = ['{"a":"', ...long] // 27
  expect(allow(plan, open)).toEqual(words.filter((word) => word !== '    '))
  expect(allow(plan, [...open, 'x'])).not.toContain('xyz')
  expect(allow(plan, [...open, 'x'])).toContain('é日')
  expect(allow(plan, [...open, 'xyz'])).toEqual(['"', '","', '"ab"'])
  // Behind a backslash the next sign is of the same character.
  const escaped = allow(plan, [...open, 'x', 'x', '\\'])
  expect(escaped).toEqual(expect.arrayContaining(['"', 'n', '\\', 'x']))
  expect(escaped).not.toContain('xyz')
  expect(allow(plan, [...open, 'x', 'x', '\\', 'n'])).toEqual(['"', '","', '"ab"'])
})

it('does not let one end before its least length', () => {
  const long28 = planOf({ items: { type: 'string', minLength: 28 } })
  const matcher = createJsonMatcher(
    all as TokenMatcher,
    { ...vocabulary, tokens: [encoder.encode('["'), ...vocabulary.tokens.slice(1)] },
    long28,
  )
  matcher.accept(0)
  for (const word of long) matcher.accept(words.indexOf(word))
  expect(hasBit(matcher.mask!, words.indexOf('"'))).toBe(false)
  matcher.accept(words.indexOf('x'))
  expect(hasBit(matcher.mask!, words.indexOf('"'))).toBe(true)
})

it('ends white space', () => {
  expect(allow(undefined, ['\n', ...Array.from({ length: 7 }, () => '    ')])).toContain('    ')
  expect(allow(undefined, ['\n', ...Array.from({ length: 8 }, () => '    ')])).not.toContain(' ')
})

it('counts strings that begin, or begin and end, within one token', () => {
  const short = planOf({ type: 'string', maxLength: 1 })
  expect(allow(short, [])).toContain('"')
  expect(allow(short, [])).not.toContain('"ab"')
  const two = planOf({ type: 'string', minLength: 2, maxLength: 2 })
  expect(allow(two, [])).toContain('"ab"')
  const three = planOf({ type: 'string', minLength: 3 })
  expect(allow(three, [])).not.toContain('"ab"')
  const pair = planOf({ properties: { a: { maxLength: 2 }, x: { minLength: 2 } } })
  expect(allow(pair, ['{"a":"', 'x', 'x'])).toEqual(expect.arrayContaining(['"', '","']))
  expect(allow(pair, ['{"a":"', 'x', 'x'])).not.toContain('xy"}')
})

it('finds the place in the value', () => {
  const nested = planOf({
    $defs: {
      node: {
        properties: {
          text: { type: 'string', maxLength: 50 },
          kids: { items: { $ref: '#/$defs/node' } },
        },
      },
    },
    type: 'object',
    properties: {
      'é"': { anyOf: [{ type: 'null' }, { $ref: '#/$defs/node' }] },
      t: { prefixItems: [{ type: 'string' }, { type: 'string', maxLength: 99 }] },
    },
  })
  const find = (text: string) => {
    const position = new JsonPosition(nested)
    position.push(encoder.encode(text))
    return [position.lengths?.most, position.characters]
  }
  expect(find('{"é\\"": {"kids": [ {"text":"a\\nb')).toEqual([50, 3])
  expect(find('{"é\\"": {"kids": [ {"x":"ab')).toEqual([undefined, 2])
  expect(find('{"t":["a,b", "c')).toEqual([99, 1])
  expect(find('{"t":["a')).toEqual([undefined, 1])
})

it('counts no lengths where several schemas hold at a place', () => {
  const read = readGrammar({
    type: 'json-schema',
    schema: {
      anyOf: [
        { type: 'string', maxLength: 30 },
        { type: 'object', properties: { a: { type: 'string', maxLength: 500 } } },
      ],
    },
  })
  expect(read.lengths).toBeUndefined()
  expect(read.late).toEqual(['#/anyOf/1/properties/a/maxLength'])
})
