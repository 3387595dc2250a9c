// Ollama's routes over the same model.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

const chatTemplate = [
  '{% for t in tools or [] %}{{ t.function.name }} {% endfor %}',
  '{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}',
  '<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
  '</tool_call>{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}',
].join('')
const messages = [{ role: 'user', content: 'A dog' }]
const options = { temperature: 0, num_predict: 8 }

let server: TestServer
beforeAll(async () => {
  server = await openTestServer({ chatTemplate, serverOptions: { version: '1.2.3' } })
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 1))
})
afterAll(() => server.close())

/** The lines of an answer. */
async function lines(path: string, body: object) {
  const response = await server.server.fetch(
    new Request(`http://graft${path}`, { method: 'POST', body: JSON.stringify(body) }),
  )
  expect(response.headers.get('content-type')).toBe('application/x-ndjson')
  return (await response.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

const openaiText = async (body: object): Promise<string> =>
  (await ask(server, '/v1/chat/completions', { messages, temperature: 0, max_tokens: 8, ...body }))
    .body.choices[0].message.content

describe('/api/chat', () => {
  it('streams lines by default, whose texts are the answer', async () => {
    const all = await lines('/api/chat', { model: 'noisy:latest', messages, options })
    expect(all.map(({ message }) => message.content).join('')).toBe(
      await openaiText({ model: 'noisy' }),
    )
    expect(all.slice(0, -1).every(({ done }) => done === false)).toBe(true)
    expect(all.at(-1)).toMatchObject({
      model: 'noisy:latest',
      done: true,
      done_reason: 'length',
      eval_count: 8,
      load_duration: 0,
      prompt_eval_count: expect.any(Number),
      total_duration: expect.any(Number),
    })
    expect(Number.isNaN(Date.parse(all[0].created_at))).toBe(false)
  })

  it('answers whole where it is asked to', async () => {
    const { body } = await ask(server, '/api/chat', {
      model: 'stories260k',
      messages,
      options,
      stream: false,
    })
    expect(body).toMatchObject({
      done: true,
      message: { role: 'assistant', content: await openaiText({}) },
    })
  })

  it('gives calls with their arguments as an object, and takes results by name', async () => {
    const city = { type: 'string', enum: ['Oslo', 'Rome'] }
    const tool = {
      type: 'function',
      function: {
        name: 'get_time',
        parameters: { type: 'object', properties: { city }, required: ['city'] },
      },
    }
    const turn = [
      ...messages,
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ function: { name: 'get_time', arguments: { city: 'Oslo' } } }],
      },
      { role: 'tool', content: 'noon', tool_name: 'get_time' },
    ]
    const { status, body } = await ask(server, '/api/chat', {
      model: 'stories260k',
      messages: turn,
      tools: [tool],
      stream: false,
      options,
    })
    expect([status, body.done]).toEqual([200, true])
  })

  it('holds answers to JSON and to a schema', async () => {
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer', minimum: 0, maximum: 9 } },
      required: ['n'],
      additionalProperties: false,
    }
    const body = {
      model: 'stories260k',
      messages,
      stream: false,
      format: schema,
      options: { num_predict: 60, temperature: 0 },
    }
    const { message } = (await ask(server, '/api/chat', body)).body
    expect(JSON.parse(message.content).n).toBeLessThan(10)
  })

  it('reports that the model is loaded where nothing is asked', async () => {
    const { body } = await ask(server, '/api/chat', { model: 'stories260k', messages: [] })
    expect(body).toMatchObject({ done: true, done_reason: 'load' })
    for (const [path, asked] of [
      ['/api/chat', { messages: [] }],
      ['/api/generate', { prompt: '' }],
    ] as const) {
      const refused = await ask(server, path, { model: 'nobody', ...asked })
      expect([refused.status, refused.body.error]).toEqual([404, expect.stringContaining('nobody')])
    }
  })
})

describe('/api/generate', () => {
  it('answers a prompt, with a system message', async () => {
    const all = await lines('/api/generate', {
      model: 'stories260k',
      prompt: 'A dog',
      system: 'Be kind.',
      options,
    })
    const chat = [{ role: 'system', content: 'Be kind.' }, ...messages]
    expect(all.map(({ response }) => response).join('')).toBe(await openaiText({ messages: chat }))
  })

  it('continues a raw prompt as completions do', async () => {
    const asked = {
      model: 'stories260k',
      prompt: 'Once upon a time',
      raw: true,
      stream: false,
      options,
    }
    const wanted = await ask(server, '/v1/completions', {
      prompt: 'Once upon a time',
      max_tokens: 8,
      temperature: 0,
    })
    expect((await ask(server, '/api/generate', asked)).body.response).toBe(
      wanted.body.choices[0].text,
    )
  })
})

describe('models', () => {
  it('lists the base and the experts', async () => {
    const { models } = (await ask(server, '/api/tags')).body
    expect(models.map(({ name }: { name: string }) => name)).toEqual(['stories260k', 'noisy'])
    expect((await ask(server, '/api/ps')).body.models).toHaveLength(2)
    expect((await ask(server, '/api/version')).body).toEqual({ version: '1.2.3' })
  })

  it('shows one, and names the nearest of an unknown one', async () => {
    const { body } = await ask(server, '/api/show', { model: 'noisy' })
    expect(body).toMatchObject({
      template: chatTemplate,
      capabilities: ['completion', 'embedding', 'tools'],
    })
    const unknown = await ask(server, '/api/show', { model: 'noisi' })
    expect([unknown.status, unknown.body]).toEqual([
      404,
      { error: 'model "noisi" not found. Did you mean "noisy"?' },
    ])
  })

  it('embeds as the route of OpenAI does', async () => {
    const { body } = await ask(server, '/api/embed', { model: 'stories260k', input: ['a', 'b'] })
    const wanted = await ask(server, '/v1/embeddings', { input: ['a', 'b'] })
    expect(body.embeddings).toEqual(
      wanted.body.data.map((one: { embedding: number[] }) => one.embedding),
    )
  })
})

describe('what is refused, in the form of this API', () => {
  it.each([
    ['/api/chat', { messages }, /model is missing/],
    [
      '/api/chat',
      { model: 'stories260k', messages: [{ role: 'user', content: 'a', images: ['x'] }] },
      /messages\.0\.images/,
    ],
    [
      '/api/chat',
      { model: 'stories260k', messages, options: { num_ctx: 100_000 } },
      /options\.num_ctx: got 100000, expected at most 512/,
    ],
    [
      '/api/chat',
      { model: 'stories260k', messages, options: { mirostat: 2 } },
      /options: mirostat/,
    ],
    ['/api/chat', { model: 'stories260k', messages, options: { temprature: 1 } }, /temprature/],
    ['/api/chat', { model: 'stories260k', messages, tools: [{}] }, /tools\.0/],
    ['/api/chat', { model: 'stories260k', messages, format: 'yaml' }, /format/],
    ['/api/generate', { model: 'stories260k', prompt: 'a', context: [1] }, /context/],
    ['/api/generate', { model: 'stories260k', prompt: 'a', raw: true, system: 'b' }, /system/],
    ['/api/embed', { model: 'stories260k' }, /input is missing/],
  ])('%s %j', async (path, body, message) => {
    const { status, body: answer } = await ask(server, path, body)
    expect([status, answer]).toEqual([400, { error: expect.stringMatching(message) }])
  })
})
