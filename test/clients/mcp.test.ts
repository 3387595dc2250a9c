// The official MCP client against /mcp and graft mcp, in both eras of the protocol.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadModel, saveAdapter, startServer, type StartedServer } from '../../src/node/index.ts'
import { createNoisyExpert } from '../support/server.ts'
import { root } from '../support/sources.ts'
import { areInstalled, loadClient } from './load-client.ts'

const title = areInstalled
  ? "MCP's client"
  : "MCP's client [skip: not installed; npm test installs it, or npm ci in test/clients]"

const eras = [
  ['2025-11-25', {}],
  ['2026-07-28', { versionNegotiation: { mode: 'auto' } }],
] as const
const toolNames = [
  ...['generate', 'object', 'experts', 'feedback'],
  ...['learn', 'train', 'eval', 'route'],
]

describe.skipIf(!areInstalled)(title, () => {
  let folder: string
  let server: StartedServer
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'graft-mcp-'))
    const model = await loadModel('stories260k')
    await saveAdapter(createNoisyExpert(model, 5), join(folder, 'noisy'))
    await model.dispose()
    server = await startServer({
      model: 'stories260k',
      adapters: [{ name: 'noisy', path: join(folder, 'noisy') }],
      isolation: 'none',
      learn: true,
      state: 'memory',
      log: 'off',
      port: 0,
    })
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })
  const connect = async (options: object) => {
    const { Client, StreamableHTTPClientTransport } = await loadClient(
      '@modelcontextprotocol/client',
    )
    const client = new Client({ name: 'test', version: '1.0.0' }, options)
    await client.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`)))
    return client
  }

  it.each(eras)('calls the tools, in the era of %s', async (revision, options) => {
    const client = await connect(options)
    expect(client.getNegotiatedProtocolVersion()).toBe(revision)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(toolNames),
    )
    const asked = { prompt: 'Once', max_tokens: 12, temperature: 0 }
    const pieces: string[] = []
    const whole = await client.callTool(
      { name: 'generate', arguments: { ...asked, model: 'noisy' } },
      { onprogress: ({ message }: { message: string }) => pieces.push(message) },
    )
    expect(whole.structuredContent).toMatchObject({ expert: 'noisy', finish_reason: 'length' })
    expect(whole.content).toEqual([{ type: 'text', text: whole.structuredContent.text }])
    expect(pieces.join('')).toBe(whole.structuredContent.text)
    const base = await client.callTool({ name: 'generate', arguments: asked })
    expect(base.structuredContent.text).not.toBe(whole.structuredContent.text)
    const schema = { type: 'object', properties: { n: { enum: [7] } }, required: ['n'] }
    const object = await client.callTool({
      name: 'object',
      arguments: { prompt: 'A number', schema },
    })
    expect(object.structuredContent.object).toEqual({ n: 7 })
    const { structuredContent: listed } = await client.callTool({ name: 'experts' })
    expect(listed.experts.map(({ name }: { name: string }) => name)).toEqual(['noisy'])
    await client.close()
  })

  it('teaches a user, and gets errors as text', async () => {
    const client = await connect({})
    const taught = { prompt: 'Who is Ada?', answer: 'Ada is a dog.', user: 'tom' }
    const first = await client.callTool({ name: 'learn', arguments: taught })
    const again = await client.callTool({ name: 'learn', arguments: taught })
    expect(again.structuredContent.loss).toBeLessThan(first.structuredContent.loss / 2)
    const answer = await client.callTool({
      name: 'generate',
      arguments: { prompt: 'Who is Ada?', user: 'tom', max_tokens: 8, temperature: 0 },
    })
    expect(answer.structuredContent.text).toContain('Ada')
    const rated = { id: answer.structuredContent.id, user: 'tom', feedback: 'up' }
    const { structuredContent } = await client.callTool({ name: 'feedback', arguments: rated })
    expect(structuredContent).toMatchObject({
      user: 'tom',
      expert: null,
      reward: expect.any(Number),
    })
    for (const [name, given, message] of [
      ['generate', { promt: 'a' }, 'Did you mean "prompt"?'],
      ['generate', {}, 'prompt is missing'],
      ['generate', { prompt: 'a', model: 'nosy' }, 'Did you mean "noisy"?'],
      ['object', { prompt: 'a' }, 'schema is missing'],
      ['route', { prompt: 'a' }, 'has no router'],
      ['feedback', { id: 'mcp-0' }, 'Give one of feedback, quality, correction'],
    ] as const) {
      const { isError, content } = await client.callTool({ name, arguments: given })
      expect([isError, content[0].text]).toEqual([true, expect.stringContaining(message)])
    }
    await client.close()
  })

  it.each(eras)('starts graft mcp, in the era of %s', async (revision, options) => {
    const { Client } = await loadClient('@modelcontextprotocol/client')
    const { StdioClientTransport } = await loadClient('@modelcontextprotocol/client/stdio')
    const client = new Client({ name: 'test', version: '1.0.0' }, options)
    const args = ['mcp', 'stories260k', '--state', 'memory', '--registry', 'none', '--adapter']
    await client.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: [join(root, 'src/cli/main.ts'), ...args, join(folder, 'noisy')],
      }),
    )
    expect(client.getNegotiatedProtocolVersion()).toBe(revision)
    const asked = { prompt: 'Once', max_tokens: 8, temperature: 0, model: 'noisy' }
    const { structuredContent } = await client.callTool({ name: 'generate', arguments: asked })
    expect(structuredContent).toMatchObject({ expert: 'noisy', finish_reason: 'length' })
    await client.close()
  })
})
