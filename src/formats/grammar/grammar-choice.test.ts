import { expect, it } from 'vitest'
import { checkOptions } from '../../base/schema.ts'
import { grammarField } from './grammar-choice.ts'

const check = (grammar: unknown) => () =>
  checkOptions('Options', { grammar }, { grammar: grammarField })

it('takes every type', () => {
  for (const grammar of [
    { type: 'json' },
    { type: 'json-schema', schema: true },
    { type: 'json-schema', schema: { type: 'string' }, whitespace: 'none' },
    { type: 'regex', pattern: '' },
    { type: 'ebnf', text: 'root ::= "a"', root: undefined },
    { type: 'structural', format: { type: 'any_text' } },
  ])
    expect(check(grammar)).not.toThrow()
})

it.each([
  ['json', 'grammar: got "json", expected an object with a type'],
  [{ type: 'json_schema' }, 'Did you mean "json-schema"?'],
  [{ type: 'toString' }, 'grammar.type: got "toString"'],
  [{ type: 'sound' }, 'expected json, json-schema, regex, ebnf, structural'],
  [{ type: 'json-schema', schema: 123 }, 'grammar.schema: got 123, expected a JSON Schema'],
  [{ type: 'json-schema' }, 'grammar.schema: got undefined'],
  [{ type: 'regex', pattern: 'a', flags: 'i' }, 'grammar.flags: a grammar of type regex has no'],
  [{ type: 'ebnf', text: 1 }, 'grammar.text: got 1, expected a string'],
])('refuses %j', (grammar, message) => {
  expect(check(grammar)).toThrow(message)
})
