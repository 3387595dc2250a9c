// Open Responses' compliance cases (test/fixtures/open-responses). The model here is tiny: what a
// larger one decides by itself, to end an answer and to call a function, is asked of it.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, openTestServer, type TestServer } from '../support/server.ts'

interface ComplianceCase {
  readonly id: string
  readonly request: object
  readonly streaming?: boolean
  readonly status?: string
  readonly output?: string
  readonly events?: readonly { readonly type: string; readonly item?: string }[]
}

const place = new URL('../fixtures/open-responses/cases.json', import.meta.url)
const { cases, requiredOfResponse } = JSON.parse(readFileSync(place, 'utf8')) as {
  readonly cases: readonly ComplianceCase[]
  readonly requiredOfResponse: readonly string[]
}
/** What JSON.parse gives. */
type Parsed = ReturnType<typeof JSON.parse>
let server: TestServer

beforeAll(async () => {
  server = await openTestServer()
})
afterAll(() => server.close())

const ending = {
  text: { format: { type: 'json_schema', name: 'a', schema: { enum: ['Ahoy!', 'Hello!'] } } },
}
const parameters = {
  type: 'object',
  properties: { location: { enum: ['San Francisco, CA', 'Paris'] } },
  required: ['location'],
  additionalProperties: false,
}

function shapeRequest({ request, output, streaming = false }: ComplianceCase): object {
  const whole = { model: 'stories260k', stream: streaming, ...request }
  if (output === undefined) return { ...whole, ...ending }
  const [tool] = (request as { tools: readonly object[] }).tools
  return { ...whole, tools: [{ ...tool, parameters }], tool_choice: 'required' }
}

/** The response and its events, which are none where it is not streamed. */
async function respond(one: ComplianceCase): Promise<{ response: Parsed; events: Parsed[] }> {
  const { status, body } = await ask(server, '/v1/responses', shapeRequest(one))
  expect([status, status === 200 ? '' : body]).toEqual([200, ''])
  if (!one.streaming) return { response: body, events: [] }
  const events = body
    .split('\n\n')
    .filter((record: string) => record !== '')
    .map((record: string) => {
      const [, name, data] = /^event: (.+)\ndata: (.+)$/s.exec(record)!
      expect(JSON.parse(data!).type).toBe(name)
      return JSON.parse(data!)
    })
  return { response: events.at(-1).response, events }
}

describe('Open Responses', () => {
  it.each(cases)('$id', async (one) => {
    const { response, events } = await respond(one)
    expect(Object.keys(response)).toEqual(expect.arrayContaining([...requiredOfResponse]))
    expect(response.object).toBe('response')
    expect(response.output.length).toBeGreaterThan(0)
    expect(response.status).toBe(one.status ?? response.status)
    const types = response.output.map(({ type }: { type: string }) => type)
    expect(types).toContain(one.output ?? types[0])
    expect(events.length > 0).toBe(one.streaming === true)
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i))
    const missing = (one.events ?? []).filter(
      ({ type, item }) =>
        !events.some((event) => event.type === type && (!item || event.item.type === item)),
    )
    expect(missing).toEqual([])
  })

  it('has six cases', () => {
    expect(cases.map(({ id }) => id)).toEqual([
      'basic-response',
      'streaming-response',
      'system-prompt',
      'tool-calling',
      'tool-calling-streaming',
      'multi-turn',
    ])
  })
})

describe('what needs a store', () => {
  it.each([
    ['GET', '/v1/responses/resp_1', 404, 'response_not_stored'],
    ['DELETE', '/v1/responses/resp_1', 404, 'response_not_stored'],
    ['POST', '/v1/responses/resp_1/cancel', 404, 'response_not_stored'],
    ['GET', '/v1/responses/resp_1/input_items', 404, 'response_not_stored'],
    ['GET', '/v1/responses/input_tokens', 405, 'method_not_allowed'],
  ])('%s %s is answered with its reason', async (method, path, status, code) => {
    const answer = await ask(server, path, undefined, { method })
    expect([answer.status, answer.body.error.code]).toEqual([status, code])
    expect(answer.body.error.message).toMatch(/responses are not stored here|this path takes POST/)
  })

  it('and what shortens conversations is refused', async () => {
    const { status, body } = await ask(server, '/v1/responses/compact', { input: 'a' })
    expect([status, body.error.code]).toEqual([400, 'not_supported'])
  })

  it.each([
    [{ max_tool_calls: 3 }, 'max_tool_calls', 'bounds tools that a server runs'],
    [{ reasoning: { summary: 'detailed' } }, 'reasoning.summary', 'given whole and not summarised'],
    [{ reasoning: { generate_summary: 'concise' } }, 'reasoning.generate_summary', 'given whole'],
  ])('%j has no effect and is refused', async (more, param, words) => {
    const { status, body } = await ask(server, '/v1/responses', { input: 'a', ...more })
    expect([status, body.error.param]).toEqual([400, param])
    expect(body.error.message).toContain(words)
  })

  it('counts tokens as an answer then reports them', async () => {
    const asked = { input: 'What is my name?', instructions: 'Be kind.' }
    const counted = await ask(server, '/v1/responses/input_tokens', asked)
    expect(counted.body.object).toBe('response.input_tokens')
    const { body } = await ask(server, '/v1/responses', { ...asked, max_output_tokens: 1 })
    expect(counted.body.input_tokens).toBe(body.usage.input_tokens)
  })
})
