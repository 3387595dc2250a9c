import { describe, expect, it } from 'vitest'
import { GrammarError } from '../../../base/errors.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import { readSchema } from './read-schema.ts'

const read = (schema: unknown) => readSchema(schema as SchemaValue, { canCount: true })

describe('what is left to the check of the value', () => {
  it.each<[unknown, string[]]>([
    [{ type: 'object' }, []],
    [{ type: 'integer', multipleOf: 5 }, ['#/multipleOf']],
    [{ type: 'array', uniqueItems: true }, ['#/uniqueItems']],
    [{ type: 'array', uniqueItems: false, contains: { type: 'null' } }, ['#/contains']],
    [{ type: 'string', pattern: '^(?!a)b+$' }, ['#/pattern']],
    [{ type: 'string', pattern: '^b+$', maxLength: 3 }, ['#/maxLength']],
    [{ type: 'string', pattern: '^b{1,3}$', maxLength: 3 }, []],
    [{ type: 'string', format: 'color' }, ['#/format']],
    [{ type: 'string', format: 'date' }, []],
    [{ properties: { a: { not: { const: 1 } } } }, ['#/properties/a/not']],
    [{ type: 'object', properties: { a: {} }, minProperties: 1 }, ['#/minProperties']],
    [{ type: 'object', properties: { a: {} }, required: ['a'], minProperties: 1 }, []],
    [{ oneOf: [{ type: 'string' }, { type: 'integer' }] }, []],
    [{ oneOf: [{ minimum: 1 }, { type: 'integer' }] }, ['#/oneOf']],
    [{ type: 'array', items: { type: 'null' }, maxItems: 2000 }, ['#/maxItems']],
    [{ 'a b': 1, properties: { 'x/y': { if: {} } } }, ['#/properties/x~1y/if']],
  ])('%j: %j', (schema, late) => {
    expect(read(schema).late).toEqual(late)
  })
})

describe('what is refused, with its place', () => {
  it.each<[unknown, string]>([
    [{ type: 'hiccup' }, '#/type: got "hiccup", expected one of null'],
    [{ type: ['string', 1] }, '#/type: got ["string",1]'],
    [{ properties: [] }, '#/properties: got [], expected an object of schemas'],
    [{ properties: { a: 1 } }, '#/properties: got {"a":1}'],
    [{ required: 'a' }, '#/required: got "a", expected a list of names'],
    [{ enum: [] }, '#/enum: got []'],
    [{ $defs: { x: { minLength: -1 } } }, '#/$defs/x/minLength: got -1'],
    [{ items: { anyOf: [] } }, '#/items/anyOf: got []'],
    [{ pattern: 'a(' }, '#/pattern: character 2'],
    [{ patternProperties: { '(': true } }, '#/patternProperties/(: character 1'],
    [{ $ref: 'https://example.com/x' }, '#/$ref: got "https://example.com/x"'],
    [{ $ref: '#/definitions/none' }, '#/$ref: there is no schema at #/definitions/none'],
    [{ allOf: [{ $ref: '#' }] }, 'refers to itself without an end'],
    [false, '#: no value fits it'],
    [{ type: 'string', minLength: 3, maxLength: 2 }, '#: no value fits it'],
    [{ type: 'object', properties: { a: false }, required: ['a'] }, '#: no value fits it'],
    [{ allOf: [{ type: 'string' }, { type: 'integer' }] }, '#: no value fits it'],
  ])('%j', (schema, message) => {
    expect(() => read(schema)).toThrow(GrammarError)
    expect(() => read(schema)).toThrow(message)
  })
  it('names everything that is wrong at once', () => {
    const wrong = { type: 'no', properties: { a: { minimum: 'x' } } }
    expect(() => read(wrong)).toThrow(/#\/type: [^]*#\/properties\/a\/minimum: got "x"/)
  })
})

it('counts lengths where the place tells them', () => {
  const lengths = read({
    properties: { a: { maxLength: 3 }, b: { anyOf: [{ type: 'null' }, { minLength: 4 }] } },
    additionalProperties: { items: { maxLength: 5 } },
  }).lengths!
  expect(lengths.property('a')!.own).toEqual({ least: 0, most: 3 })
  expect(lengths.property('b')!.own).toEqual({ least: 4, most: Infinity })
  expect(lengths.property('other')!.item(7)!.own).toEqual({ least: 0, most: 5 })
  expect(read({ type: 'object' }).lengths).toBeUndefined()
})

it('takes unknown keywords for what they are, also with the names that every object has', () => {
  const late = { constructor: { prototype: 1 }, toString: 2, valueOf: 3 }
  expect(read({ ...late, type: 'string' }).grammar).toEqual(read({ type: 'string' }).grammar)
  expect(read(late).grammar).toEqual(read({}).grammar)
  expect(read({ allOf: [late, { type: 'string', constructor: 4 }] }).grammar).toEqual(
    read({ type: 'string' }).grammar,
  )
})
