// Anthropic's Messages. Numbers: the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ask,
  createNoisyExpert,
  openTestServer,
  parseRecords,
  type TestServer,
} from '../support/server.ts'

const tools = ['get_weather', 'get_time'].map((name) => ({
  name,
  input_schema: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
    required: ['city'],
  },
}))
const messages = [{ role: 'user', content: 'How is the weather?' }]
/** JavaScript cannot make a string of it. */
const hostile = { toString: 1, valueOf: 2 }

/** In Hermes' notation, and short: the model's context holds 512 tokens. */
const chatTemplate = [
  '{% for t in tools or [] %}{{ t.function.name }} {% endfor %}',
  '{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}',
  '<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
  '</tool_call>{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}',
].join('')

let server: TestServer
beforeAll(async () => {
  server = await openTestServer({ chatTemplate })
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 1))
})
afterAll(() => server.close())

const send = (body: object) => ask(server, '/v1/messages', { messages, max_tokens: 8, ...body })
const count = (body: object) => ask(server, '/v1/messages/count_tokens', { messages, ...body })
const render = async (body: object): Promise<number> => (await count(body)).body.input_tokens

interface Block {
  readonly type: string
  readonly text?: string
  readonly name?: string
  readonly input?: { city: string }
}

describe('a message', () => {
  it('109: has every field that clients read', async () => {
    const { status, body } = await send({})
    expect(status).toBe(200)
    expect(body).toEqual({
      id: expect.stringMatching(/^msg_/),
      type: 'message',
      role: 'assistant',
      model: 'stories260k',
      content: [{ type: 'text', text: expect.any(String) }],
      stop_reason: 'max_tokens',
      stop_sequence: null,
      usage: {
        input_tokens: expect.any(Number),
        output_tokens: 8,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: expect.any(Number),
      },
    })
  })

  it('answers what the chat of OpenAI answers, by an expert too', async () => {
    const both = { temperature: 0, model: 'noisy' }
    const system = 'Be kind.'
    const chat = [{ role: 'system', content: system }, ...messages]
    const { body } = await send({ ...both, system })
    const wanted = await ask(server, '/v1/chat/completions', {
      ...both,
      max_tokens: 8,
      messages: chat,
    })
    expect(body.content[0].text).toBe(wanted.body.choices[0].message.content)
    expect(body.model).toBe('noisy')
  })

  it('109: says which sequence stopped it', async () => {
    const whole = (await send({ temperature: 0, max_tokens: 40 })).body.content[0].text as string
    const [first, second] = whole.trim().split(/\s+/).slice(3)
    for (const stop of [[second!], ['zzz', second!, 'qqq']]) {
      const { body } = await send({ temperature: 0, max_tokens: 40, stop_sequences: stop })
      expect([body.stop_reason, body.stop_sequence]).toEqual(['stop_sequence', second])
      expect(body.content[0].text).toContain(first)
    }
  })

  it('110: streams the same in the order that clients expect', async () => {
    const asked = { temperature: 0, max_tokens: 12 }
    const whole = (await send(asked)).body
    const { body: text, headers } = await send({ ...asked, stream: true })
    expect(headers.get('content-type')).toContain('text/event-stream')
    const names = [...(text as string).matchAll(/^event: (.*)$/gm)].map(([, name]) => name)
    const records = (text as string)
      .split('\n\n')
      .filter((one) => one.startsWith('event: '))
      .map((one) => JSON.parse(one.slice(one.indexOf('data: ') + 6)))
    expect(records.map(({ type }) => type)).toEqual(names)
    expect(names.slice(0, 2)).toEqual(['message_start', 'content_block_start'])
    expect(names.slice(-3)).toEqual(['content_block_stop', 'message_delta', 'message_stop'])
    const deltas = records.filter(({ type }) => type === 'content_block_delta')
    expect(deltas.map(({ delta }) => delta.text).join('')).toBe(whole.content[0].text)
    expect(records[0].message).toMatchObject({ role: 'assistant', content: [], stop_reason: null })
    expect(records.at(-2).delta).toEqual({ stop_reason: 'max_tokens', stop_sequence: null })
    expect(records.at(-2).usage.output_tokens).toBe(12)
    expect(parseRecords(text).includes('[DONE]')).toBe(false)
  })
})

describe('tools', () => {
  const any = {
    tools,
    tool_choice: { type: 'any', disable_parallel_tool_use: true },
    max_tokens: 300,
    temperature: 0,
  }

  it('111: a call is a block with its input', async () => {
    const { body } = await send(any)
    expect(body.stop_reason).toBe('tool_use')
    const calls = (body.content as Block[]).filter(({ type }) => type === 'tool_use')
    expect(calls).toHaveLength(1)
    expect(['get_weather', 'get_time']).toContain(calls[0]!.name)
    expect(['Oslo', 'Rome']).toContain(calls[0]!.input!.city)
  })

  it('110: a streamed call is one block whose input grows', async () => {
    const choice = { type: 'tool', name: 'get_time', disable_parallel_tool_use: true }
    const { body: text } = await send({ ...any, tool_choice: choice, stream: true })
    const records = (text as string)
      .split('\n\n')
      .filter((one) => one.startsWith('event: '))
      .map((one) => JSON.parse(one.slice(one.indexOf('data: ') + 6)))
    const begun = records.find(({ content_block: block }) => block?.type === 'tool_use')
    expect(begun.content_block).toMatchObject({ name: 'get_time', input: {} })
    const input = records
      .filter(({ index, delta }) => index === begun.index && delta)
      .map(({ delta }) => delta.partial_json)
      .join('')
    expect(['Oslo', 'Rome']).toContain(JSON.parse(input).city)
    expect(records.at(-2).delta.stop_reason).toBe('tool_use')
  })

  it('111: results are messages of the tool, calls are given back', async () => {
    const turn = [
      ...messages,
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id: 'a', name: 'get_time', input: { city: 'Oslo' } }],
      },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: 'a',
            content: [{ type: 'text', text: 'noon' }],
            is_error: true,
          },
          { type: 'text', text: 'And?' },
        ],
      },
    ]
    const { body } = await ask(server, '/apply-template', {
      messages: [
        messages[0],
        {
          role: 'assistant',
          content: '',
          tool_calls: [
            {
              id: 'a',
              type: 'function',
              function: { name: 'get_time', arguments: '{"city":"Oslo"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'a', content: 'Error: noon' },
        { role: 'user', content: 'And?' },
      ],
    })
    const wanted = (
      await ask(server, '/tokenize', { prompt: body.prompt, add_special_tokens: true })
    ).body.count
    expect(Math.abs((await render({ messages: turn })) - wanted)).toBeLessThanOrEqual(1)
  })
})

describe('count_tokens', () => {
  it('112: counts what a call then reads', async () => {
    const body = {
      system: 'Be kind.',
      messages: [...messages, { role: 'assistant', content: 'It' }],
    }
    const { usage } = (await send(body)).body
    expect(await render(body)).toBe(usage.input_tokens + usage.cache_read_input_tokens)
  })

  it('113: leaves out a line of the system message that changes with every request', async () => {
    const header = 'x-anthropic-billing-header: cc_version=2.1; cch=ab12;\n'
    expect(await render({ system: `${header}Be kind.` })).toBe(await render({ system: 'Be kind.' }))
    const blocks = [
      { type: 'text', text: header.trim() },
      { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
    ]
    expect(await render({ system: blocks })).toBe(await render({ system: 'Be kind.' }))
  })
})

describe('what is refused, in the form of this API', () => {
  it.each([
    [{ max_tokens: undefined }, /max_tokens is missing/],
    [{ messages: [] }, /messages: /],
    [{ messages: [{ role: 'tool', content: 'x' }] }, /messages\.0\.role: got "tool"/],
    [
      { messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] },
      /messages\.0\.content\.0: got a block of type "image"/,
    ],
    [{ messages: [{ role: 'user', content: [{ type: 'tool_result' }] }] }, /tool_use_id/],
    [
      { tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
      /tools\.0\.type: got "web_search_20250305"/,
    ],
    [{ tools: [{ name: 'a b' }] }, /tools\.0\.name/],
    [{ messages: [{ role: 'user', content: 'a', nmae: 'x' }] }, /messages\.0\.nmae: is not known/],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a', txt: 'b' }] }] },
      /messages\.0\.content\.0\.txt: is not known here.*did you mean text/,
    ],
    [
      {
        messages: [
          {
            role: 'user',
            content: [
              {
                type: 'document',
                source: { type: 'text', data: 'a' },
                citations: { enabled: true },
              },
            ],
          },
        ],
      },
      /messages\.0\.content\.0\.citations: answers hold no citations/,
    ],
    [{ system: [{ type: 'text', text: 'a', cache: 1 }] }, /system\.0\.cache: is not known/],
    [
      {
        messages: [
          { role: 'user', content: [{ type: 'document', source: { type: 'text', data: [1] } }] },
        ],
      },
      /messages\.0\.content\.0\.source\.data: got \[1\], expected a string/,
    ],
    [{ tool_choice: { type: 'any' } }, /tools are missing/],
    [{ tools, tool_choice: { type: 'constructor' } }, /tool_choice\.type: got "constructor"/],
    [{ tools, tool_choice: { type: hostile } }, /tool_choice\.type: got \{"toString":1/],
    [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, /thinking\.budget_tokens/],
    [{ metadata: { user: 'a' } }, /metadata\.user: is not known here/],
    [{ output_config: { schema: {} } }, /output_config\.schema/],
    [{ thinking: { typ: 'disabled' } }, /thinking\.typ/],
    [{ temprature: 1 }, /temprature.*temperature/],
    [{ mcp_servers: [{}] }, /mcp_servers/],
    [{ output_config: { format: { type: 'json_schema' } } }, /output_config\.format/],
    [{ system: 'a '.repeat(600) }, /context/i],
  ])('%j', async (body, message) => {
    const { status, body: answer } = await send(body)
    expect(status).toBe(400)
    expect(answer).toEqual({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringMatching(message) },
      request_id: null,
    })
  })

  it('an unknown expert is not found, with the nearest', async () => {
    const { status, body } = await send({ model: 'noisi' })
    expect([status, body.error.type]).toEqual([404, 'not_found_error'])
    expect(body.error.message).toContain('noisy')
  })

  it('a method that the path has not', async () => {
    const { status, body } = await ask(server, '/v1/messages')
    expect([status, body.type]).toEqual([405, 'error'])
  })
})

it('takes what clients say of thinking to every model, and refuses what has no effect', async () => {
  for (const type of ['disabled', 'adaptive'])
    expect((await send({ thinking: { type } })).status).toBe(200)
  expect((await send({ thinking: { type: 'enabled' } })).body.error.message).toContain(
    'enable_thinking',
  )
})

it('holds the answer to a schema', async () => {
  const schema = {
    type: 'object',
    properties: { n: { type: 'integer', minimum: 0, maximum: 9 } },
    required: ['n'],
    additionalProperties: false,
  }
  const { body } = await send({
    max_tokens: 60,
    temperature: 0,
    output_config: { format: { type: 'json_schema', schema } },
  })
  expect(JSON.parse(body.content[0].text).n).toBeLessThan(10)
})
