import { Ajv } from 'ajv'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { GrammarError } from '../../base/errors.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import { createEngine, type Engine, type EngineRequest } from '../../runtime/index.ts'
import { type LoadedModel, loadModel } from '../model.ts'

let model: LoadedModel
let engine: Engine

beforeAll(async () => {
  model = await loadModel('stories260k')
  engine = createEngine({ model, maxRows: 8 })
})
afterAll(() => model.dispose())

const ask = async (grammar: GrammarChoice, options: Partial<EngineRequest> = {}) => {
  const request = {
    prompt: model.encode('Once'),
    grammar,
    temperature: 1,
    maxTokens: 200,
    ...options,
  }
  for await (const event of engine.generate(request))
    if (event.type === 'generation-end') return event
  throw new Error('no end')
}

it.each<[GrammarChoice, RegExp]>([
  [{ type: 'regex', pattern: '[0-9]{3}-(cat|dog)' }, /^\d{3}-(cat|dog)$/],
  [{ type: 'regex', pattern: '(?:é|日本|😀){2,3}!' }, /^(?:é|日本|😀){2,3}!$/u],
  [{ type: 'ebnf', text: 'root ::= "a"{5,5}' }, /^aaaaa$/],
  [{ type: 'ebnf', text: 'root ::= "(" root ")" | "x"' }, /^\(*x\)*$/],
  [{ type: 'json-schema', schema: { const: 'foooooo' } }, /^"foooooo"$/],
  [{ type: 'json-schema', schema: { enum: ['a', 1, null] } }, /^("a"|1|null)$/],
  [
    {
      type: 'structural',
      format: {
        type: 'sequence',
        elements: [
          {
            type: 'tag',
            begin: '<think>',
            content: { type: 'regex', pattern: 'h{1,3}m' },
            end: '</think>',
          },
          { type: 'json_schema', json_schema: { type: 'boolean' } },
        ],
      },
    },
    /^<think>h{1,3}m<\/think>(true|false)$/,
  ],
])('holds answers to %j', async (grammar, expected) => {
  for (let seed = 0; seed < 4; seed++) {
    const { text, reason } = await ask(grammar, { seed, temperature: seed / 2 })
    expect(text).toMatch(expected)
    expect(reason).toBe('eos')
  }
})

it('writes JSON that a schema admits, in a batch with others, with pre-emption', async () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 10 }, age: { type: 'integer', minimum: 0 } },
    required: ['name', 'age'],
    additionalProperties: false,
  }
  const validate = new Ajv().compile(schema)
  const small = createEngine({ model, maxRows: 4, kvBytes: 400_000 })
  const requests = Array.from({ length: 6 }, (_, i) => ({
    prompt: model.encode('Once upon a time'),
    ...(i % 2 === 0 && { grammar: { type: 'json-schema', schema } as const }),
    temperature: 1,
    seed: i,
    maxTokens: 90,
  }))
  const alone = await Promise.all(requests.map((request) => readAll(engine, request)))
  const together = await Promise.all(requests.map((request) => readAll(small, request)))
  expect(together.map(({ text }) => text)).toEqual(alone.map(({ text }) => text))
  const complete = together.filter(({ reason }, i) => i % 2 === 0 && reason === 'eos')
  expect(complete.length).toBeGreaterThan(0)
  for (const { text } of complete) expect([text, validate(JSON.parse(text))]).toEqual([text, true])
  expect(small.stats().preemptions).toBeGreaterThan(0)
  await small.dispose()
})

const readAll = async (from: Engine, request: EngineRequest) => {
  for await (const event of from.generate(request))
    if (event.type === 'generation-end') return event
  throw new Error('no end')
}

it('gives the beginning of a text that fits where the limit cuts it', async () => {
  const { text, reason } = await ask(
    { type: 'json-schema', schema: { type: 'array', items: { type: 'integer' }, minItems: 50 } },
    { maxTokens: 30 },
  )
  expect(reason).toBe('length')
  expect(text).toMatch(/^\[\s*(-?\d+\s*(,\s*)?)*/)
})

it('changes nothing where no grammar is asked for, and no other row', async () => {
  const prompt = model.encode('Once upon a time')
  const before = await readAll(engine, { prompt, maxTokens: 20 })
  const [plain] = await Promise.all([
    readAll(engine, { prompt, maxTokens: 20 }),
    ask({ type: 'json' }),
    ask({ type: 'regex', pattern: '\\d+' }),
  ])
  expect(plain!.ids).toEqual(before.ids)
})

it.each<[GrammarChoice, string]>([
  [{ type: 'json-schema', schema: { type: 'hiccup' } }, '#/type: got "hiccup"'],
  [
    { type: 'json-schema', schema: { properties: { a: { type: 123 } } } },
    '#/properties/a/type: got 123',
  ],
  [{ type: 'json-schema', schema: { $ref: '#/nope' } }, '#/$ref: there is no schema at #/nope'],
  [{ type: 'json-schema', schema: { minimum: 3, maximum: 2 } }, '#: no value fits it'],
  [{ type: 'regex', pattern: 'a(b' }, 'character 2'],
  [{ type: 'ebnf', text: 'root ::= "a"\nfoo ::= [a' }, 'line 2, column 9'],
  [{ type: 'ebnf', text: 'root ::= root' }, 'never ends'],
])('refuses %j before anything is queued', async (grammar, message) => {
  const { steps } = engine.stats()
  await expect(ask(grammar)).rejects.toThrow(GrammarError)
  await expect(ask(grammar)).rejects.toThrow(message)
  expect(engine.stats().steps).toBe(steps)
})

it('refuses minTokens beyond the longest text, and ends one request alone where no token is left', async () => {
  const grammar = { type: 'regex', pattern: 'a{3}' } as const
  await expect(ask(grammar, { minTokens: 4 })).rejects.toThrow('minTokens')
  const free = readAll(engine, { prompt: model.encode('Once'), maxTokens: 12 })
  const bans = Array.from({ length: 512 }, (_, id) => id)
  await expect(ask(grammar, { bannedTokens: bans })).rejects.toThrow('none is left')
  expect((await free).ids).toHaveLength(12)
})

it('goes with stop strings, log-probabilities and copies', async () => {
  const grammar = { type: 'regex', pattern: '(ab){8}' } as const
  const { text, reason, tokens, ids } = await ask(grammar, { stop: ['ba'], logprobs: 1 })
  expect([text, reason]).toEqual(['a', 'stop'])
  expect(tokens).toHaveLength(ids.length)
  const sequences = await engine.addCopies(
    { prompt: model.encode('Once'), grammar: { type: 'json' }, temperature: 1, maxTokens: 20 },
    3,
  )
  void engine.run()
  const texts = await Promise.all(
    sequences.map(async ({ events }) => {
      for await (const event of events) if (event.type === 'generation-end') return event.text
      return ''
    }),
  )
  for (const one of texts) expect(one).toMatch(/^\{/)
})
