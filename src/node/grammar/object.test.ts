import { afterAll, beforeAll, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import { GrammarError, ObjectError } from '../../base/errors.ts'
import { createEngine, generateObject } from '../../runtime/index.ts'
import { type LoadedModel, loadModel } from '../model.ts'

let model: LoadedModel

beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())

const person = z.object({
  name: z.string().max(8),
  age: z.int().min(0).max(150),
  pet: z.enum(['cat', 'dog']).nullable(),
})

it('gives a value of a zod schema, with its type', async () => {
  const { value, generation } = await model.object('Lily', { schema: person, temperature: 1 })
  expectTypeOf(value).toEqualTypeOf<{ name: string; age: number; pet: 'cat' | 'dog' | null }>()
  expect(person.parse(value)).toEqual(value)
  expect(generation.reason).toBe('eos')
  expect(JSON.parse(generation.text)).toEqual(value)
})

it('gives what the schema makes of the value', async () => {
  const schema = z.object({
    digits: z
      .string()
      .regex(/^[0-9]{3}$/)
      .transform(Number),
    kind: z.literal('x').default('x'),
  })
  const { value } = await model.object('Lily', { schema, temperature: 1 })
  expectTypeOf(value).toEqualTypeOf<{ digits: number; kind: 'x' }>()
  expect(value.digits).toBeTypeOf('number')
  expect(value.kind).toBe('x')
})

it('takes a JSON Schema, and an engine with ids', async () => {
  const engine = createEngine({ model })
  const schema = { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 } as const
  const request = {
    prompt: model.encode('Lily'),
    schema,
    whitespace: 'none',
    temperature: 1,
  } as const
  const { value } = await generateObject(engine, request)
  expectTypeOf(value).toEqualTypeOf<unknown>()
  expect(value).toBeInstanceOf(Array)
  await engine.dispose()
})

it('checks afterwards what no grammar holds, and asks again where that is wanted', async () => {
  const schema = z
    .object({ n: z.int().min(0).max(99) })
    .refine(({ n }) => n % 7 === 3, 'not 3 mod 7')
  const options = { schema, temperature: 2, whitespace: 'none' } as const
  const failed = await model.object('Lily', options).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(ObjectError)
  const { text, issues } = failed as ObjectError
  expect(JSON.parse(text)).toHaveProperty('n')
  expect(issues).toMatchObject([{ message: 'not 3 mod 7' }])
  const { value } = await model.object('Lily', { ...options, retries: 40 })
  expect(value.n % 7).toBe(3)
})

it('holds the part of an e-mail’s pattern that a grammar can, and checks its look-aheads', async () => {
  const schema = z.object({ mail: z.email() })
  // The little model hardly ever writes an @ by itself.
  const logitBias = Object.fromEntries(['@', '"'].map((sign) => [model.encode(sign).at(-1), 60]))
  const options = { schema, temperature: 1, maxTokens: 60, retries: 20, logitBias }
  const { value } = await model.object('Lily', options)
  expect(schema.parse(value)).toEqual(value)
})

it('checks a JSON Schema’s late keywords too', async () => {
  const schema = { type: 'integer', minimum: 1, maximum: 6, multipleOf: 10 } as const
  await expect(model.object('Lily', { schema })).rejects.toThrow('does not fit the schema')
})

it('reports where an answer was cut', async () => {
  const schema = z.object({ text: z.string().min(20) })
  const cut = await model.object('Lily', { schema, maxTokens: 5 }).catch((error: unknown) => error)
  expect(cut).toBeInstanceOf(ObjectError)
  expect(String(cut)).toContain('cut after 5 tokens; raise maxTokens')
})

it('refuses a value that is not a schema, and a schema with a grammar', async () => {
  await expect(model.object('Lily', { schema: 'person' as never })).rejects.toThrow(
    'schema: got "person", expected a Standard Schema',
  )
  await expect(
    model.object('Lily', { schema: { type: 'object', properties: { a: { type: 'no' } } } }),
  ).rejects.toThrow(GrammarError)
  await expect(
    model.object('Lily', { schema: true, grammar: { type: 'json' } } as never),
  ).rejects.toThrow('grammar')
  const bare = {
    '~standard': { version: 1, vendor: 'mine', validate: (value: unknown) => ({ value }) },
  }
  await expect(model.object('Lily', { schema: bare as never })).rejects.toThrow(
    'this version of mine gives no JSON Schema',
  )
  const { value } = await model.object('Lily', {
    schema: bare as never,
    jsonSchema: { enum: ['a'] },
  })
  expect(value).toBe('a')
})
