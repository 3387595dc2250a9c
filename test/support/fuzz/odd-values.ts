// Values for generated requests: sound ones from a JSON Schema and from what clients send, and odd ones
// in their place. Everything follows from a seeded generator.

import type { Random } from '../../../src/base/random.ts'
import { isRecord } from '../../../src/base/schema.ts'

type Schema = Readonly<Record<string, unknown>>

export const pick = <T>(random: Random, list: readonly T[]): T => list[random.integer(list.length)]!

const words = ['Lily', 'a cat', 'once upon a time', 'äöü ✓', '😀', 'end\n', ' ', 'user', '0']
const models = [
  'stories260k',
  'coder',
  'coder:0.5',
  'coder:0.5+poet:0.5',
  'stories260k:poet',
  'nobody',
]
const schemas = [
  { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
  { enum: ['x', 'y'] },
  { type: 'hiccup' },
  true,
]
const tool = {
  type: 'function',
  function: {
    name: 'find',
    parameters: { type: 'object', properties: { of: { type: 'string' } } },
  },
}

function createMessages(random: Random): unknown[] {
  const roles = ['system', 'user', 'assistant', 'user', 'tool', 'developer']
  return Array.from({ length: 1 + random.integer(4) }, () => ({
    role: pick(random, roles),
    content: pick<unknown>(random, [
      pick(random, words),
      [{ type: 'text', text: pick(random, words) }],
      null,
      '',
    ]),
  }))
}

const createIds = (random: Random): number[] =>
  Array.from({ length: 1 + random.integer(6) }, () => random.integer(random.integer(9) ? 512 : 600))

const createPrompt = (random: Random): unknown =>
  pick<() => unknown>(random, [
    () => pick(random, words),
    () => createIds(random),
    () => [pick(random, words), pick(random, words)],
    () => [createIds(random), createIds(random)],
    () => 'Once upon a time there was a cat. '.repeat(random.integer(80)),
  ])()

/** What clients send under these names. */
const known: Readonly<Record<string, (random: Random) => unknown>> = {
  model: (random) => pick(random, models),
  messages: createMessages,
  prompt: createPrompt,
  input: createPrompt,
  content: (random) => pick(random, words),
  tokens: createIds,
  max_tokens: (random) => 1 + random.integer(4),
  max_completion_tokens: (random) => 1 + random.integer(4),
  n_predict: (random) => 1 + random.integer(4),
  n: (random) => 1 + random.integer(3),
  best_of: (random) => 1 + random.integer(3),
  stop: (random) => pick<unknown>(random, ['.', ['a', 'b'], ['\n'], ['', 'x']]),
  stream: (random) => random.integer(2) === 1,
  stream_options: () => ({ include_usage: true }),
  logit_bias: (random) => ({ [String(random.integer(600))]: random.integer(200) - 100 }),
  response_format: (random) =>
    pick<unknown>(random, [
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', json_schema: { name: 'a', schema: pick<unknown>(random, schemas) } },
    ]),
  json_schema: (random) => pick<unknown>(random, schemas),
  grammar: (random) => pick(random, ['root ::= "a"{2,3}', 'root ::= [a-z]+', 'root ::= (', 'x']),
  regex: (random) => pick(random, ['[a-z]+', '(a|b)*', '(', '.{1,1000000}']),
  tools: (random) => (random.integer(3) === 0 ? [] : [tool]),
  tool_choice: (random) => pick<unknown>(random, ['auto', 'none', 'required', {}]),
  lora: (random) => [{ id: random.integer(3), scale: random.uniform() }],
  path: (random) =>
    pick(random, ['coder', 'fresh', '../secret', '/etc/passwd', 'http://169.254.169.254/', 'x\0']),
  lora_path: (random) => pick(random, ['coder', 'fresh', 'nobody', '..', 'file:///etc/passwd']),
  lora_name: (random) => pick(random, ['fresh', 'coder', '', 'a:0.5', 'base']),
  name: (random) => pick(random, ['fresh', 'poet', 'a+b', '\u001b[31m']),
  user: (random) => pick(random, ['ada', 'tom', 'x'.repeat(300)]),
}

/** A value that fits the schema of a field of this name, mostly. */
export function createSound(random: Random, name: string, schema: Schema): unknown {
  const own = known[name]
  if (own !== undefined && random.integer(8) > 0) return own(random)
  if (Array.isArray(schema['enum'])) return pick(random, schema['enum'])
  if ('const' in schema) return schema['const']
  if (Array.isArray(schema['anyOf']))
    return createSound(random, '', pick<Schema>(random, schema['anyOf']))
  return createOfType(random, schema)
}

function createOfType(random: Random, schema: Schema): unknown {
  const { minimum = 0, maximum = 8, items = {}, properties = {} } = schema
  const low = Number(minimum)
  const high = Math.min(Number(maximum), low + 8)
  switch (schema['type']) {
    case 'boolean':
      return random.integer(2) === 1
    case 'integer':
      return low + random.integer(Math.max(1, Math.floor(high - low)))
    case 'number':
      return low + random.uniform() * (high - low)
    case 'array':
      return Array.from({ length: random.integer(4) }, () =>
        createSound(random, '', items as Schema),
      )
    case 'object':
      return Object.fromEntries(
        Object.entries(properties as Record<string, Schema>).map(([name, one]) => [
          name,
          createSound(random, name, one),
        ]),
      )
    default:
      return pick(random, words)
  }
}

const odd: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  -0,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  '',
  '5',
  'nobody',
  'x'.repeat(20_000),
  '\ud800',
  '\u0000',
  '\u001b[2J\r\n{"event":"request"}',
  '../../etc/passwd',
  '${jndi:ldap://169.254.169.254/a}',
  [],
  {},
  [[]],
  [null],
  [{}],
  [[[[[[[[[[]]]]]]]]]],
  Array.from({ length: 3000 }, (_, i) => i),
  { length: 1e9 },
  { constructor: { prototype: { x: 1 } } },
  { toString: 1, valueOf: 2 },
]

/** A copy in which one place, at any depth, is odd. */
export function makeOdd(random: Random, value: unknown): unknown {
  if (random.integer(3) > 0) {
    if (Array.isArray(value) && value.length > 0) {
      const at = random.integer(value.length)
      return value.map((item, i) => (i === at ? makeOdd(random, item) : item))
    }
    if (isRecord(value)) return makeEntryOdd(random, value)
  }
  return pick(random, odd)
}

function makeEntryOdd(random: Random, value: Readonly<Record<string, unknown>>): unknown {
  const entries = Object.entries(value)
  const at = random.integer(entries.length + 1)
  if (at === entries.length)
    return Object.assign({}, value, { [pick(random, words)]: pick(random, odd) })
  const [name, item] = entries[at]!
  const others = entries.filter((_, i) => i !== at)
  const kind = random.integer(6)
  if (kind === 0) return Object.fromEntries(others)
  if (kind === 1) return Object.fromEntries([...others, [`${name}s`, item]])
  return Object.fromEntries([...others, [name, makeOdd(random, item)]])
}
