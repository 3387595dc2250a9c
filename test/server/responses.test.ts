// OpenAI's Responses without a store. Numbers: the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, openTestServer, type TestServer } from '../support/server.ts'

const tools = ['get_weather', 'get_time'].map((name) => ({
  type: 'function',
  name,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
    required: ['city'],
  },
  strict: true,
}))
/** JavaScript cannot make a string of it. */
const hostile = { toString: 1, valueOf: 2 }
const chatTemplate = [
  '{% for t in tools or [] %}{{ t.function.name }} {% endfor %}',
  '{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}',
  '<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
  '</tool_call>{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}',
].join('')

let server: TestServer
beforeAll(async () => {
  server = await openTestServer({ chatTemplate })
})
afterAll(() => server.close())

const respond = (body: object) =>
  ask(server, '/v1/responses', { input: 'A dog', max_output_tokens: 8, ...body })
const count = async (body: object): Promise<number> =>
  (await ask(server, '/v1/responses/input_tokens', body)).body.input_tokens

/** The events of a stream; each is named by its type. */
async function stream(body: object) {
  const { body: text } = await respond({ ...body, stream: true })
  return (text as string)
    .split('\n\n')
    .filter((one) => one.startsWith('event: '))
    .map((one) => {
      const event = JSON.parse(one.slice(one.indexOf('data: ') + 6))
      expect(one.startsWith(`event: ${event.type}\n`)).toBe(true)
      return event
    })
}

/** Ids and times apart, which are of one response. */
const strip = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, item: unknown) =>
      ['id', 'call_id', 'created_at', 'completed_at', 'cached_tokens'].includes(key) ? '-' : item,
    ),
  )

describe('a response', () => {
  it('99: has every field that the specification requires', async () => {
    const { status, body } = await respond({
      temperature: 0,
      metadata: { a: 'b' },
      instructions: 'Be kind.',
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      id: expect.stringMatching(/^resp_/),
      object: 'response',
      error: null,
      instructions: 'Be kind.',
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      metadata: { a: 'b' },
      temperature: 0,
      top_p: 1,
      store: false,
      previous_response_id: null,
      model: 'stories260k',
      output: [
        {
          type: 'message',
          id: expect.stringMatching(/^msg_/),
          role: 'assistant',
          content: [{ type: 'output_text', text: expect.any(String), annotations: [] }],
        },
      ],
      usage: {
        input_tokens: expect.any(Number),
        input_tokens_details: { cached_tokens: expect.any(Number) },
        output_tokens: 8,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: expect.any(Number),
      },
    })
    expect(Number.isInteger(body.created_at)).toBe(true)
  })

  it('102: says that its limit cut it, and is completed where it ended alone', async () => {
    const { body } = await respond({})
    expect([body.status, body.incomplete_details]).toEqual([
      'incomplete',
      { reason: 'max_output_tokens' },
    ])
    expect(body.completed_at).toBeNull()
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer', maximum: 9, minimum: 0 } },
      required: ['n'],
      additionalProperties: false,
    }
    const text = { format: { type: 'json_schema', name: 'n', schema } }
    const whole = (await respond({ max_output_tokens: 60, temperature: 0, text })).body
    expect([whole.status, whole.incomplete_details]).toEqual(['completed', null])
    expect(JSON.parse(whole.output[0].content[0].text).n).toBeLessThan(10)
    expect(whole.text.format.type).toBe('json_schema')
  })

  it('105: answers store: true with false', async () => {
    expect((await respond({ store: true })).body.store).toBe(false)
  })

  it('106: takes the fields that coding clients send', async () => {
    const { status } = await respond({
      client_metadata: {},
      include: ['reasoning.encrypted_content'],
      instructions: '',
      model: 'stories260k',
      parallel_tool_calls: false,
      prompt_cache_key: 'abc',
      reasoning: { effort: 'low', summary: 'auto' },
      store: false,
      stream: true,
      tool_choice: 'auto',
      tools: [],
    })
    expect(status).toBe(200)
  })

  it('reports that an effort has no effect where the template reads none', async () => {
    const { body } = await respond({ reasoning: { effort: 'low' } })
    expect(body.reasoning).toEqual({ effort: null, summary: null })
  })
})

describe('a stream', () => {
  it('101, 102, 100: has its events in order, numbered, under the same ids', async () => {
    const asked = { temperature: 0, max_output_tokens: 12 }
    const events = await stream(asked)
    const types = events.map(({ type }) => type.replace('response.', ''))
    expect(types.slice(0, 4)).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
    ])
    expect(types.slice(-4)).toEqual([
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'incomplete',
    ])
    expect(new Set(types.slice(4, -4))).toEqual(new Set(['output_text.delta']))
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i))
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas[0]).toMatchObject({ output_index: 0, content_index: 0, logprobs: [] })
    const text = deltas.map(({ delta }) => delta).join('')
    const last = events.at(-1).response
    expect(last.output[0].content[0].text).toBe(text)
    expect(new Set(deltas.map((event) => event.item_id))).toEqual(new Set([last.output[0].id]))
    expect(events[0].response.id).toBe(last.id)
    expect(events[0].response).toMatchObject({ status: 'in_progress', output: [], usage: null })
    expect(strip(last)).toEqual(strip((await respond(asked)).body))
  })

  it('103: a call is an item whose arguments grow, and continues with its output', async () => {
    const choice = { type: 'function', name: 'get_time' }
    const events = await stream({
      tools,
      tool_choice: choice,
      max_output_tokens: 300,
      temperature: 0,
      parallel_tool_calls: false,
    })
    const added = events.find(({ item }) => item?.type === 'function_call')
    expect(added.item).toMatchObject({
      name: 'get_time',
      arguments: '',
      call_id: expect.stringMatching(/^call_/),
    })
    const grown = events
      .filter(({ type }) => type === 'response.function_call_arguments.delta')
      .map(({ delta }) => delta)
      .join('')
    const done = events.find(({ type }) => type === 'response.function_call_arguments.done')
    expect(done.arguments).toBe(grown)
    expect(['Oslo', 'Rome']).toContain(JSON.parse(grown).city)
    const { output, status } = events.at(-1).response
    expect(status).toBe('completed')
    const call = output.find(({ type }: { type: string }) => type === 'function_call')
    const input = [
      { role: 'user', content: 'Time?' },
      ...output,
      { type: 'function_call_output', call_id: call.call_id, output: 'noon' },
    ]
    expect((await respond({ input, tools })).status).toBe(200)
  })

  it('allowed_tools bounds what may be called', async () => {
    const choice = {
      type: 'allowed_tools',
      mode: 'required',
      tools: [{ type: 'function', name: 'get_weather' }],
    }
    const { body } = await respond({
      tools,
      tool_choice: choice,
      max_output_tokens: 300,
      temperature: 0,
      parallel_tool_calls: false,
    })
    expect(body.output.at(-1).name).toBe('get_weather')
    expect(body.tools).toHaveLength(2)
  })
})

describe('the input', () => {
  it('104: a list of messages, instructions and earlier items are one chat', async () => {
    const input = [
      { type: 'message', role: 'developer', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'input_text', text: 'Hey' }] },
      { type: 'reasoning', id: 'rs_1', summary: [] },
      {
        type: 'message',
        id: 'msg_1',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Yes?', annotations: [] }],
      },
      { role: 'user', content: 'A dog' },
    ]
    const messages = [
      { role: 'system', content: 'Be kind.\n\nBe brief.' },
      { role: 'user', content: 'Hey' },
      { role: 'assistant', content: 'Yes?' },
      { role: 'user', content: 'A dog' },
    ]
    const wanted = await ask(server, '/v1/chat/completions', {
      messages,
      max_tokens: 8,
      temperature: 0,
    })
    const { body } = await respond({ input, instructions: 'Be kind.', temperature: 0 })
    expect(body.output[0].content[0].text).toBe(wanted.body.choices[0].message.content)
    expect(body.usage.input_tokens).toBe(wanted.body.usage.prompt_tokens)
    expect(await count({ input, instructions: 'Be kind.' })).toBe(body.usage.input_tokens)
  })

  it.each([
    [{ previous_response_id: 'resp_1' }, /previous_response_id: responses are not stored here/],
    [{ input: [] }, /input: /],
    [{ input: undefined }, /input is missing/],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, /input\.0\.type: got "item_reference"/],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
      /input\.0\.content\.0: got a part of type "input_image"/,
    ],
    [{ input: [{ type: 'function_call', name: 'a' }] }, /input\.0: a function_call has/],
    [{ tools: [{ type: 'web_search' }] }, /tools\.0\.type: got "web_search"/],
    [{ text: { format: { type: 'json_schema', name: 'x' } } }, /json_schema needs a schema/],
    [{ tool_choice: 'required' }, /tools are missing/],
    [{ tool_choice: ['none'] }, /tool_choice.*none, auto, required/],
    [{ input: [{}], tool_choice: hostile }, /./],
    [{ input: [{ role: 'user', content: [{ type: hostile, text: 'a' }] }] }, /part of type/],
    [{ text: { format: { type: hostile } } }, /format/],
    [{ background: true }, /background/],
    [{ text: { verbosity: 'low' } }, /text\.verbosity/],
    [{ text: { fromat: {} } }, /text\.fromat: is not known here.*did you mean format/],
    [{ reasoning: { efort: 'low' } }, /reasoning\.efort/],
    [
      { include: ['message.output_text.logprobs'] },
      /include: got "message\.output_text\.logprobs"/,
    ],
    [{ stream_options: { include_usage: true } }, /stream_options\.include_usage/],
    [{ max_tokens: 3 }, /max_tokens/],
    [{ instructions: 'a '.repeat(600) }, /context/i],
  ])('refuses %j', async (body, message) => {
    const { status, body: answer } = await respond(body)
    expect([status, answer.error.message]).toEqual([400, expect.stringMatching(message)])
  })
})
