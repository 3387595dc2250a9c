// The description of the server, and that no request of any kind makes it fail. GRAFT_FUZZ=20000 asks
// more often.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotFoundError } from '../../src/index.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

let server: TestServer
const faults: unknown[] = []
beforeAll(async () => {
  server = await openTestServer({
    maxTokens: 3,
    readAdapter: async () => {
      throw new NotFoundError('There is no adapter.')
    },
    serverOptions: { onFault: (error) => void faults.push(error) },
  })
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 1))
})
afterAll(() => server.close())

describe('/openapi.json', () => {
  it('describes every route, its body and its errors', async () => {
    const { body } = await ask(server, '/openapi.json')
    expect(body.openapi).toBe('3.1.0')
    for (const { path, method, scope } of server.server.routes) {
      const described = body.paths[path][method.toLowerCase()]
      expect(described).toMatchObject({ summary: expect.any(String), 'x-scope': scope })
      expect(Object.keys(described.responses)).toEqual(
        expect.arrayContaining(['200', '400', '404']),
      )
    }
    const ids = Object.values(body.paths as Record<string, Record<string, { operationId: string }>>)
      .flatMap((one) => Object.values(one))
      .map(({ operationId }) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    const chat =
      body.paths['/v1/chat/completions'].post.requestBody.content['application/json'].schema
    expect(chat.required).toEqual(['messages'])
    expect(chat.additionalProperties).toBe(false)
    expect(chat.properties.temperature.anyOf[0]).toMatchObject({ minimum: 0, maximum: 2 })
    expect(chat.properties.messages.minItems).toBe(1)
    expect(chat.properties).not.toHaveProperty('store')
  })
})

/** Integers from 0 up to a limit, always the same ones. */
function createDraw(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const deep = JSON.parse(`${'['.repeat(90)}${']'.repeat(90)}`) as unknown
const hostile: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  1e308,
  -1e308,
  2 ** 53,
  '',
  'a',
  '\0',
  '\ud800',
  '\u202e',
  ' ',
  'x'.repeat(5000),
  '../../etc/passwd',
  "'; DROP TABLE keys; --",
  [],
  [[]],
  [null],
  ['', 'a'],
  [1, 2],
  [-1],
  [1e9],
  {},
  { a: 1 },
  { type: 'object' },
  { type: 'json_schema' },
  deep,
  [{}],
  { '': '' },
]
const valid: Readonly<Record<string, readonly object[]>> = {
  '/v1/chat/completions': [
    { messages: [{ role: 'user', content: 'Hi' }] },
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }], stream: true, n: 2 },
    {
      model: 'noisy:0.5',
      messages: [{ role: 'assistant', content: 'Hi' }],
      logprobs: true,
      top_logprobs: 2,
    },
    {
      messages: [{ role: 'user', content: 'Hi' }],
      response_format: { type: 'json_object' },
      seed: 1,
    },
  ],
  '/v1/completions': [
    { prompt: 'Once', echo: true, logprobs: 1 },
    { prompt: [[1, 2], [3]], stream: true, stream_options: { include_usage: true } },
    { prompt: ['a', 'b'], logit_bias: { 5: -100 }, stop: ['x'] },
  ],
  '/v1/embeddings': [
    { input: ['a', 'b'] },
    { input: [1, 2], encoding_format: 'base64', model: 'noisy' },
  ],
  '/completion': [
    { prompt: 'Once', n_probs: 1 },
    { prompt: [1, 2], stream: true, lora: [{ id: 0, scale: 1 }] },
  ],
  '/tokenize': [{ prompt: 'a' }, { content: 'a', with_pieces: true }],
  '/detokenize': [{ tokens: [1, 2, 3] }],
  '/apply-template': [{ messages: [{ role: 'user', content: 'Hi' }] }],
  '/v1/experts': [{ path: 'a', name: 'b' }],
  '/v1/load_lora_adapter': [{ lora_name: 'a', lora_path: 'b' }],
  '/v1/unload_lora_adapter': [{ lora_name: 'a' }],
  '/lora-adapters': [[{ id: 0, scale: 0 }]],
  '/lora-adapters/unload': [{ id: 7 }],
}
const paths = Object.keys(valid)
const extra = [
  'temperature',
  'top_p',
  'n',
  'seed',
  'stop',
  'tools',
  'tool_choice',
  'grammar',
  'model',
  'user',
  'lora',
  'logit_bias',
  'store',
  'max_tokens',
  'unknown',
  '__proto__',
  'constructor',
]

/** Own properties only: the test must not change what all objects inherit. */
const isHolder = (holder: object, key: string): boolean =>
  Object.hasOwn(holder, key) &&
  typeof Reflect.get(holder, key) === 'object' &&
  Reflect.get(holder, key) !== null

/** A valid body with up to three fields replaced, at any depth, or a text that is not JSON. */
function createBody(path: string, draw: (limit: number) => number): string {
  const bodies = valid[path]!
  const text = JSON.stringify(bodies[draw(bodies.length)])
  if (draw(12) === 0) return text.slice(0, draw(text.length))
  const body = JSON.parse(text) as Record<string, unknown>
  for (let changes = draw(4); changes > 0; changes--) {
    let holder = body
    let keys = [...Object.keys(holder), ...extra]
    let key = keys[draw(keys.length)]!
    while (draw(2) === 0 && isHolder(holder, key)) {
      holder = holder[key] as Record<string, unknown>
      keys = [...Object.keys(holder), 'extra']
      key = keys[draw(keys.length)]!
    }
    const value = structuredClone(hostile[draw(hostile.length)])
    Object.defineProperty(holder, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return JSON.stringify(body)
}

describe('generated requests', () => {
  it(
    'are answered or refused, and never make the server fail',
    { timeout: 3_600_000 },
    async () => {
      const count = Number(process.env['GRAFT_FUZZ'] ?? 400)
      const draw = createDraw(20261130)
      const statuses = new Map<number, number>()
      const failed: string[] = []
      for (let i = 0; i < count; i++) {
        const path = paths[draw(paths.length)]!
        const body = createBody(path, draw)
        const { status, body: answer } = await ask(server, path, body)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status >= 500 || (status >= 400 && answer.error?.message === undefined))
          failed.push(`${i}: ${status} ${path} ${body.slice(0, 300)}`)
      }
      expect(failed).toEqual([])
      expect(faults).toEqual([])
      expect(statuses.get(200)).toBeGreaterThan(count / 10)
      expect(statuses.get(400)).toBeGreaterThan(count / 10)
      expect((await ask(server, '/v1/completions', { prompt: 'a' })).status).toBe(200)
      expect((await server.service.stats()).running).toBe(0)
    },
  )
})
