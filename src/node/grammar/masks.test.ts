// The library's masks of printed grammars, compared with JavaScript's regular expressions and with
// matching and other texts.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GrammarChoice, StructuralFormat } from '../../formats/grammar/grammar-choice.ts'
import {
  type GrammarExpression,
  matchCodes,
  matchEither,
  matchRepeat,
  matchSequence,
  matchText,
  RuleBook,
} from '../../formats/grammar/grammar.ts'
import { printGrammar } from '../../formats/grammar/print/print-grammar.ts'
import { simplifyRules } from '../../formats/grammar/print/simplify-rules.ts'
import { readGrammar } from '../../formats/grammar/read-grammar.ts'
import { toRegExp } from '../../formats/grammar/testing.ts'
import { hasBit } from '../../runtime/decode/processors/grammar-mask.ts'
import type { GrammarHost } from '../../runtime/grammar/grammar-host.ts'
import { createLocalHost } from '../../runtime/grammar/local-host.ts'
import { byteVocabulary, judgeBytes } from './byte-check.testing.ts'
import { openGrammarLibrary } from './open-library.ts'

let host: GrammarHost
beforeAll(() => {
  host = createLocalHost(openGrammarLibrary)
})
afterAll(() => host.dispose())

const judge = (grammar: GrammarChoice, text: string | Uint8Array) =>
  judgeBytes(host, readGrammar(grammar).text, text)

const letters = ['a', 'b', '0', 'é', '日', '😀', '"', '\n']
const letter = fc.constantFrom(...letters)
const { expression } = fc.letrec<{ expression: GrammarExpression }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: letter, maxLength: 3 }).map(matchText),
    fc
      .array(
        letter.map((one) => one.codePointAt(0)!),
        { minLength: 1, maxLength: 3 },
      )
      .map((codes) => matchCodes(codes.map((code) => [code, code + 1]))),
    fc.array(tie('expression'), { maxLength: 3 }).map((parts) => matchSequence(...parts)),
    fc
      .array(tie('expression'), { minLength: 1, maxLength: 3 })
      .map((parts) => matchEither(...parts)),
    fc
      .tuple(tie('expression'), fc.nat(2), fc.constantFrom(0, 1, 3, Infinity))
      .map(([of, least, more]) => matchRepeat(of, least, least + more)),
  ),
}))

it('admits what JavaScript’s regular expressions admit', async () => {
  await fc.assert(
    fc.asyncProperty(
      expression,
      fc.array(fc.string({ unit: letter, maxLength: 6 }), { minLength: 6, maxLength: 6 }),
      async (given, texts) => {
        const grammar = simplifyRules(new RuleBook().finish(given))
        fc.pre(grammar !== undefined)
        const printed = printGrammar(grammar!)
        const fits = toRegExp(given)
        for (const text of texts) {
          const found = await judgeBytes(host, printed, text)
          expect([text, found === 'whole']).toEqual([text, fits.test(text)])
        }
      },
    ),
    { numRuns: 150 },
  )
}, 60_000)

it('admits a token of several bytes where it admits its bytes one after the other', async () => {
  const words = [
    '{"',
    '":',
    ' "',
    '"a',
    'x"}',
    '", "',
    '12',
    ', ',
    '}',
    '"',
    'é',
    '\u65e5\u672c"',
    '\\n',
    '\\"',
  ]
  const tokens = [...byteVocabulary.tokens, ...words.map((word) => new TextEncoder().encode(word))]
  const vocabulary = { key: 'bytes and words', size: tokens.length, tokens }
  const { text } = readGrammar({
    type: 'json-schema',
    schema: {
      type: 'object',
      properties: { a: { type: 'string' }, b: { type: 'array', items: { type: 'integer' } } },
      required: ['a'],
    },
  })
  for (const start of ['', '{', '{"a"', '{"a": "', '{"a": "x\\', '{"a":"x"', '{"a":"x", "b": [1']) {
    const matcher = await host.open({ vocabulary, text })
    for (const byte of new TextEncoder().encode(start)) matcher.accept(byte)
    await matcher.ready()
    for (const [i, word] of words.entries()) {
      const allowed = hasBit(matcher.mask!, 256 + i)
      const found = await judgeBytes(host, text, start + word)
      expect([start, word, allowed]).toEqual([start, word, found !== 'no'])
    }
    matcher.close()
  }
})

it('admits only UTF-8', async () => {
  const grammar = { type: 'regex', pattern: '[^"]*' } as const
  for (const bytes of [[0xed, 0xa0], [0xc0], [0xf5], [0x80], [0xf4, 0x90], [0xe0, 0x80]])
    expect(await judge(grammar, Uint8Array.from(bytes))).toBe('no')
  expect(await judge(grammar, 'é日😀')).toBe('whole')
})

describe('EBNF', () => {
  const json = String.raw`
    root   ::= object # a comment
    value  ::= object | array | string | number | ("true" | "false" | "null") ws
    object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
    array  ::= "[" ws ( value ("," ws value)* )? "]" ws
    string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
    number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
    ws ::= | " " | "\n" [ \t]{0,20}`
  it.each([
    ['{"a": [1, -2.5e3, "é\\n"], "b": null}', 'whole'],
    ['{"a": ', 'beginning'],
    ['{a', 'no'],
    ['[1]', 'no'],
  ])('llama.cpp’s grammar of JSON and %s: %s', async (text, expected) => {
    expect(await judge({ type: 'ebnf', text: json }, text)).toBe(expected)
  })
  it.each([
    ['root ::= "a"{2} "b"{,2} "c"{1,}', ['aac', 'aabbcc'], ['ac', 'aabbbc', 'aab']],
    ['root ::= root "+" n | n\nn ::= [0-9]+', ['1', '1+22+3'], ['+1', '1+']],
    ['root ::= x?\nx ::= ("y" x)* "z"', ['', 'z', 'yzz'], ['y']],
    ['root ::= .', ['a', '\n', '😀'], ['', 'ab']],
    ['start ::= "\\u00e9" "\\U0001F600" [\\x41-\\x43]', ['é😀B'], ['é😀D']],
  ])('%s', async (text, fitting, others) => {
    const root = text.startsWith('start') ? 'start' : undefined
    for (const one of fitting) expect(await judge({ type: 'ebnf', text, root }, one)).toBe('whole')
    for (const one of others)
      expect(await judge({ type: 'ebnf', text, root }, one)).not.toBe('whole')
  })
  it.each([
    ['root ::= "a', 'line 1, column 10: the text that begins here has no end'],
    ['root ::= "a"\n\nroot ::= "b"', 'line 3, column 1: the rule "root" is there twice'],
    ['root ::= foo', 'line 1, column 10: there is no rule "foo" (there are root)'],
    ['a ::= "b"', 'there is no rule "root" to begin with (there are a)'],
    ['root ::= ("a"', 'line 1, column 10: the group that begins here has no end'],
    ['root ::= "a"{3,2}', 'got {3,2}, expected the smaller first'],
    ['root ::= [z-a]', 'a range goes from the smaller'],
    ['root ::= "\\q"', 'line 1, column 11: there is no escape "\\q"'],
    ['root = "a"', 'expected ::='],
    ['root ::= "a" (="b")', 'look-aheads are not supported'],
  ])('refuses %s', (text, message) => {
    expect(() => readGrammar({ type: 'ebnf', text })).toThrow(message)
  })
})

describe('structural grammars', () => {
  const call = (name: string): Extract<StructuralFormat, { type: 'tag' }> => ({
    type: 'tag',
    begin: `<call=${name}>`,
    content: { type: 'json_schema', json_schema: { type: 'integer' } },
    end: '</call>',
  })
  const tags = [call('a'), call('b')]
  const free: StructuralFormat = { type: 'triggered_tags', triggers: ['<call'], tags }
  it.each<[string, StructuralFormat, string[], string[]]>([
    [
      'free text and calls',
      free,
      ['', 'hi <', 'hi <call=a>1</call> bye <call=b>2</call>'],
      ['<call=c', '<call=a>x'],
    ],
    ['at least one', { ...free, at_least_one: true }, ['<call=a>1</call> bye'], ['', 'hi']],
    [
      'one call',
      { ...free, stop_after_first: true },
      ['hi <call=a>1</call>'],
      ['<call=a>1</call>x'],
    ],
    [
      'text up to an end',
      {
        type: 'sequence',
        elements: [
          { type: 'tag', begin: '<t>', content: { type: 'any_text' }, end: '</t>' },
          { type: 'const_string', value: '!' },
        ],
      },
      ['<t>a < b </t>!', '<t></t>!'],
      ['<t>a', '!', '<t></t>'],
    ],
    [
      'calls in a list',
      {
        type: 'tag',
        begin: '[',
        content: { type: 'tags_with_separator', tags, separator: ',', at_least_one: true },
        end: ']',
      },
      ['[<call=a>1</call>]', '[<call=a>1</call>,<call=b>2</call>]'],
      ['[]', '[<call=a>1</call><call=b>2</call>]'],
    ],
    [
      'alternatives',
      {
        type: 'or',
        elements: [
          { type: 'regex', pattern: 'a+' },
          { type: 'grammar', grammar: 'root ::= "b"' },
        ],
      },
      ['aa', 'b'],
      ['ab', ''],
    ],
  ])('%s', async (_name, format, fitting, others) => {
    for (const one of fitting)
      expect([one, await judge({ type: 'structural', format }, one)]).toEqual([one, 'whole'])
    for (const one of others)
      expect([one, await judge({ type: 'structural', format }, one)]).not.toEqual([one, 'whole'])
  })
  it.each<[unknown, string]>([
    [{ type: 'tga' }, '#/type: got "tga", expected const_string'],
    [
      { type: 'sequence', elements: [{ type: 'regex', pattern: '(' }] },
      '#/elements/0/pattern: The pattern: character 1',
    ],
    [
      { type: 'json_schema', json_schema: { type: 'hiccup' } },
      '#/json_schema: The JSON Schema: #/type: got "hiccup"',
    ],
    [{ ...free, triggers: ['<x'] }, '#/triggers/0: no tag begins with "<x"'],
    [{ ...free, triggers: ['<call', '<call='] }, 'is the beginning of the trigger'],
    [{ type: 'any_text', stop: 'x' }, '#/stop: a part of type any_text has no such key'],
    [{ type: 'tag', begin: 'a', content: { type: 'any_text' } }, '#/end: got undefined'],
  ])('refuses %j', (format, message) => {
    expect(() => readGrammar({ type: 'structural', format: format as StructuralFormat })).toThrow(
      message,
    )
  })
})
