// /mcp as messages: what a key shows, what is refused before the protocol begins, and that bad
// messages are errors of the protocol.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMcpRoutes } from '../../src/server/api/mcp/mcp-routes.ts'
import { mcpTools } from '../../src/server/api/mcp/tool-table.ts'
import type { KeyScope } from '../../src/server/keys/api-key.ts'
import { createServer, type Server } from '../../src/server/app.ts'
import { openOperatedServer } from '../support/operated-server.ts'

let opened: Awaited<ReturnType<typeof openOperatedServer>>
let server: Server
const keys = new Map<string, string>()
const faults: unknown[] = []

beforeAll(async () => {
  opened = await openOperatedServer()
  const { operations } = opened
  const { middleware, guards, maxBodyBytes } = operations
  const routes = createMcpRoutes({
    tools: mcpTools,
    version: '1.0.0',
    maxBodyBytes: 4096,
    onFault: (error) => faults.push(error),
  })
  server = createServer({ service: opened.service, middleware, guards, routes, maxBodyBytes })
  const given: Record<string, KeyScope[]> = { reader: ['infer'], boss: ['admin'] }
  for (const [name, scopes] of Object.entries(given))
    keys.set(name, (await operations.keys.add({ name, scopes })).text)
})
afterAll(() => opened.close())

async function send(body: unknown, key = 'reader', method = 'POST') {
  const response = await server.fetch(
    new Request('http://localhost/mcp', {
      method,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        authorization: `Bearer ${keys.get(key) ?? key}`,
      },
      ...(method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  )
  const text = await response.text()
  const data = /^data: (.*)$/m.exec(text)?.[1] ?? text
  return { status: response.status, body: data === '' ? undefined : JSON.parse(data) }
}
const call = (method: string, params: object = {}, key?: string) =>
  send({ jsonrpc: '2.0', id: 1, method, params }, key)
const callTool = async (name: string, given: object, key?: string) =>
  (await call('tools/call', { name, arguments: given }, key)).body

/** The message of an error, of the protocol or of a tool; undefined where nothing failed. */
const describeFailure = (body: ReturnType<typeof JSON.parse>): string | undefined =>
  body.error?.message ?? (body.result.isError ? body.result.content[0].text : undefined)

describe('/mcp', () => {
  it('shows a key the tools that it may call', async () => {
    const list = async (key: string) =>
      (await call('tools/list', {}, key)).body.result.tools.map(
        ({ name }: { name: string }) => name,
      )
    expect(await list('reader')).toEqual(
      mcpTools.filter(({ scope }) => scope === 'infer').map(({ name }) => name),
    )
    expect(await list('boss')).toEqual(mcpTools.map(({ name }) => name))
    const refused = await callTool('learn', { prompt: 'a', answer: 'b', user: 'c' })
    expect(describeFailure(refused)).toContain('learn')
  })

  it('evaluates models on rows: what a model would write itself is exact, and its loss is lower', async () => {
    const headers = { authorization: `Bearer ${keys.get('boss')}` }
    const asked = { prompt: 'Once upon a time', max_tokens: 6, temperature: 0, logprobs: 0 }
    const response = await server.fetch(
      new Request('http://localhost/v1/completions', {
        method: 'POST',
        headers,
        body: JSON.stringify(asked),
      }),
    )
    const [{ text, logprobs }] = ((await response.json()) as ReturnType<typeof JSON.parse>).choices
    const rows = [{ prompt: asked.prompt, completion: text }]
    const given = { rows, models: ['stories260k', 'coder'] }
    const { structuredContent } = (await callTool('eval', given)).result
    const [own, other] = structuredContent.results
    const losses: number[] = logprobs.token_logprobs
    const expected = -losses.reduce((sum, one) => sum + one, 0) / losses.length
    expect(own.loss).toBeCloseTo(expected, 3)
    expect([own.exact, structuredContent.rows]).toEqual([1, 1])
    expect(other.loss).toBeGreaterThan(own.loss)
    const wrong = await callTool('eval', { rows: [{ prompt: 'a' }] })
    expect(describeFailure(wrong)).toContain('expected a list of 1 to 1000 rows')
  })

  it('counts what tools took as usage of the key', async () => {
    const { result } = await callTool('generate', { prompt: 'Once', max_tokens: 4, model: 'coder' })
    expect(result.structuredContent.usage.completion_tokens).toBe(4)
    const headers = { authorization: `Bearer ${keys.get('boss')}` }
    const response = await opened.server.fetch(
      new Request('http://localhost/v1/usage', { headers }),
    )
    const body = (await response.json()) as { readonly data: readonly object[] }
    expect(body.data).toContainEqual(
      expect.objectContaining({ key: 'reader', expert: 'coder', completion_tokens: 4 }),
    )
  })

  it('is refused without a key, in the form of the protocol', async () => {
    const { status, body } = await send({ jsonrpc: '2.0', id: 1, method: 'ping' }, 'nobody')
    expect([status, body]).toEqual([
      401,
      {
        jsonrpc: '2.0',
        id: null,
        error: {
          code: -32_000,
          message: expect.stringContaining('key is unknown'),
          data: expect.objectContaining({ code: 'invalid_api_key' }),
        },
      },
    ])
  })

  it.each([
    ['no JSON', '{', 400],
    ['no message', { a: 1 }, 400],
    ['a method that there is not', { jsonrpc: '2.0', id: 1, method: 'tools/lst' }, 200],
    [
      'a tool that there is not',
      { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'x' } },
      200,
    ],
    [
      'too long a message',
      { jsonrpc: '2.0', id: 1, method: 'ping', params: { a: 'x'.repeat(5000) } },
      413,
    ],
  ])('answers %s with an error, and lives', async (_, body, status) => {
    const answer = await send(body)
    expect(answer.status).toBe(status)
    expect(describeFailure(answer.body)).toMatch(/\w/)
    expect((await call('ping')).body.result).toEqual({})
  })

  it('keeps no sessions', async () => {
    expect((await send(undefined, 'reader', 'GET')).status).toBe(405)
    expect((await send(undefined, 'reader', 'DELETE')).status).toBe(405)
  })

  it('reports what of a tool failed, hides what of the server failed, and tells the log', async () => {
    const wrong = (await callTool('generate', { prompt: 'a', model: 'codr' })).result
    expect([wrong.isError, wrong.content[0].text]).toEqual([
      true,
      expect.stringContaining('Did you mean "coder"?'),
    ])
    expect(faults).toEqual([])
  })
})
