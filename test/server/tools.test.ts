// Tools and reasoning in chats. Numbers: the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createToolCallParser } from '../../src/formats/text/tool-calls/create-parser.ts'
import { getToolCallFormat } from '../../src/formats/text/tool-calls/format-table.ts'
import { createAnswerReader } from '../../src/server/local/answer-reader.ts'
import { ask, openTestServer, parseRecords, type TestServer } from '../support/server.ts'

const city = { type: 'string', enum: ['Oslo', 'Rome'] }
const createTool = (name: string) => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { city }, required: ['city'] },
  },
})
const tools = [createTool('get_weather'), createTool('get_time')]
const messages = [{ role: 'user', content: 'How is the weather?' }]

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
})
afterAll(() => server.close())

const chat = async (body: object) =>
  (await ask(server, '/v1/chat/completions', { messages, tools, max_tokens: 300, ...body })).body

interface ToolCallBody {
  readonly index?: number
  readonly id: string
  readonly type: string
  readonly function: { readonly name?: string; readonly arguments: string }
}

describe('calls', () => {
  it('47, 48: required calls at least one, whose arguments fit', async () => {
    const { choices } = await chat({ tool_choice: 'required', parallel_tool_calls: false, seed: 1 })
    const [{ message, finish_reason: reason }] = choices
    expect(reason).toBe('tool_calls')
    expect(message.content).toBeNull()
    const calls = message.tool_calls as ToolCallBody[]
    expect(calls).toHaveLength(1)
    expect(calls[0]).toMatchObject({ id: expect.stringMatching(/^call_\w{24}$/), type: 'function' })
    expect(['get_weather', 'get_time']).toContain(calls[0]!.function.name)
    expect(city.enum).toContain(JSON.parse(calls[0]!.function.arguments).city)
  })

  it('47: a name is the one that is called, none calls nothing', async () => {
    const named = { type: 'function', function: { name: 'get_time' } }
    const { choices } = await chat({ tool_choice: named, seed: 2, n: 2 })
    for (const { message } of choices)
      expect(message.tool_calls.map((one: ToolCallBody) => one.function.name)).toEqual(['get_time'])
    const ids = choices.map(
      (one: { message: { tool_calls: ToolCallBody[] } }) => one.message.tool_calls[0]!.id,
    )
    expect(new Set(ids).size).toBe(2)
    const none = await chat({ tool_choice: 'none', max_tokens: 8 })
    expect(none.choices[0].message).not.toHaveProperty('tool_calls')
    expect(typeof none.choices[0].message.content).toBe('string')
  })

  it('51: streamed calls have their index, name and id once, and the same arguments', async () => {
    const asked = { tool_choice: 'required', parallel_tool_calls: false, seed: 1 }
    const whole = await chat(asked)
    const records = parseRecords(await chat({ ...asked, stream: true })).slice(0, -1)
    const deltas = records.flatMap((one) => one.choices[0].delta.tool_calls ?? []) as ToolCallBody[]
    expect(deltas.every(({ index }) => index === 0)).toBe(true)
    expect(deltas.filter(({ id }) => id !== undefined)).toEqual([deltas[0]])
    expect(deltas.filter((one) => one.function.name !== undefined)).toEqual([deltas[0]])
    const joined = deltas.map((one) => one.function.arguments).join('')
    const [call] = whole.choices[0].message.tool_calls as ToolCallBody[]
    expect(joined).toBe(call!.function.arguments)
    expect(deltas.length).toBeGreaterThan(2)
    const ends = records.filter((one) => one.choices[0].finish_reason !== null)
    expect(ends.map((one) => one.choices[0].finish_reason)).toEqual(['tool_calls'])
  })

  it('the model is told of the tools, and of earlier calls and their results', async () => {
    const call = {
      id: 'c1',
      type: 'function',
      function: { name: 'get_time', arguments: '{"city":"Rome"}' },
    }
    const talk = [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c1', content: 'noon' },
    ]
    const { body } = await ask(server, '/apply-template', { messages: talk, tools })
    for (const part of ['get_weather', 'Rome', 'noon']) expect(body.prompt).toContain(part)
    expect((await chat({ messages: talk, max_tokens: 2 })).object).toBe('chat.completion')
  })

  it.each([
    [
      { tool_choice: { type: 'function', function: { name: 'get_wether' } } },
      /Did you mean "get_weather"/,
    ],
    [{ tools: [tools[0], tools[0]] }, /two tools have the name/],
    [{ tool_choice: 'required', response_format: { type: 'json_object' } }, /give one of them/],
  ] as [object, RegExp][])('49: case %# is 400', async (body, message) => {
    expect((await chat(body)).error.message).toMatch(message)
  })
})

describe('how an answer is read', () => {
  const read = (text: string, isCertain = false) => {
    const parser = createToolCallParser(getToolCallFormat('hermes'))
    let count = 0
    const reader = createAnswerReader(parser, isCertain, () => `id${count++}`)
    const pieces = [...text].flatMap((letter) => reader.push(letter))
    const all = [...pieces, ...reader.end()]
    const join = (key: 'text' | 'reasoning') => all.map((piece) => piece[key] ?? '').join('')
    return { all, text: join('text'), reasoning: join('reasoning'), calls: reader.calls }
  }

  it('reasoning, text and calls are told apart', () => {
    const call = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    const { text, reasoning, calls, all } = read(`<think>Hm.</think>I look.${call}${call}`)
    expect([text, reasoning, calls]).toEqual(['I look.', 'Hm.', 2])
    expect(all.flatMap(({ call: one }) => one ?? [])).toEqual([
      { call: 0, id: 'id0', name: 'f', arguments: '{"a": 1}' },
      { call: 1, id: 'id1', name: 'f', arguments: '{"a": 1}' },
    ])
  })

  it('what turns out as no call is text; certain calls are told as they come', () => {
    const cut = '<tool_call>{"name": "f", "arguments": {"a": '
    expect(read(cut)).toMatchObject({ text: cut, calls: 0 })
    const { all, text } = read(cut, true)
    expect(text).toBe('')
    expect(all[0]).toEqual({ call: { call: 0, id: 'id0', name: 'f', arguments: '' } })
  })
})
