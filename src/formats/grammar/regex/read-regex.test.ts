import { expect, it } from 'vitest'
import { GrammarError } from '../../../base/errors.ts'
import { toRegExp } from '../testing.ts'
import { readRegex } from './read-regex.ts'

const samples = [
  '',
  'a',
  'b',
  'ab',
  'abc',
  'xabcx',
  'aab',
  'aaa',
  'A1_',
  '12',
  '2024-01-31',
  'é',
  '日本',
  '😀',
  ' ',
  '\n',
  'a\nb',
  '"',
  '\\',
  '-',
  'a-b',
  ']',
  '^',
  '{1}',
  'x{',
  'tel: 1',
  '\u00a0',
  'fooBAR',
  'ab\t',
  'a.b',
  '3.14',
]

const read = (pattern: string, where: 'whole' | 'inside', drop = false) =>
  readRegex(pattern, { what: 'The pattern', where, drop })

const patterns = [
  'a',
  'a|b',
  'ab?c*',
  '(?:ab)+c?',
  '[a-z]+',
  '[^a-z]*',
  '\\d+',
  '\\w+',
  '\\s',
  '\\S+',
  '.',
  '.*',
  '[\\w-]+',
  '[a\\-\\]]',
  '[]',
  '[^]',
  'x\\{',
  'x{',
  '\\u{1F600}',
  '\\ud83d\\ude00',
  '\\p{L}+',
  '\\P{L}',
  '\\x61',
  '[\\d.]+',
  'a{2}',
  'a{2,}',
  'a{1,2}b',
  '(a|(b|c)?)x?',
  '\\.',
  '[.]',
  '\\/|-',
  '[^\\n]+',
  '\\cJ',
  'a+?b??',
  '(?<year>\\d{4})-\\d\\d-\\d\\d',
  '^ab',
  'c$',
  '^abc$',
  '^a|b$',
  '(^a|b)c?',
  'ab|^$',
]

it.each(patterns)('%s matches as in JavaScript', (pattern) => {
  const flags =
    /\\[pP]\{|\\u\{|\\ud83d/.test(pattern) || !/\\\{|x\{|\\-\\\]/.test(pattern) ? 'u' : ''
  for (const [where, expected] of [
    ['whole', new RegExp(`^(?:${pattern})$`, flags)],
    ['inside', new RegExp(pattern, flags)],
  ] as const) {
    const own = toRegExp(read(pattern, where).expression)
    for (const text of samples)
      expect([where, text, own.test(text)]).toEqual([where, text, expected.test(text)])
  }
})

it.each([
  ['a(b', 'character 2: the group that begins here has no )'],
  ['ab)', 'character 3: there is a ) without its ('],
  ['a[b', 'character 2: the class that begins here has no ]'],
  ['*a', 'character 1: there is nothing to repeat'],
  ['a**', 'character 3: there is nothing to repeat'],
  ['a{3,2}', 'character 2: got {3,2}, expected the smaller first'],
  ['[z-a]', 'character 3: a range goes from'],
  ['a(?=b)c', 'character 2: got (?=b), which no grammar can hold'],
  ['(?<!a)b', 'character 1: got (?<!a)'],
  ['\\bword', 'character 1: got \\b'],
  ['(a)\\1', 'character 4: got \\1, a back reference'],
  ['\\p{Nope}', 'character 1: Unicode has no property "Nope"'],
  ['(?i:a)', 'character 1: a group of the kind (?i is not supported'],
  ['a\\', 'character 2: nothing follows the \\'],
  ['\\ud83d', 'character 1: half of a surrogate pair'],
  ['a^b', 'the pattern: got ^'],
])('refuses %s', (pattern, message) => {
  expect(() => read(pattern, 'whole')).toThrow(GrammarError)
  expect(() => read(pattern, 'whole')).toThrow(message)
})

it('leaves out what only narrows a pattern, where the check comes later', () => {
  const { expression, dropped } = read('^(?!.*bad)(a|b)\\1?$', 'inside', true)
  expect(dropped).toEqual(['(?!.*bad)', '\\1'])
  const own = toRegExp(expression)
  expect(['a', 'aa', 'ab', 'c'].map((text) => own.test(text))).toEqual([true, true, true, false])
})
