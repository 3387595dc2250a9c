// /mcp against the protocol's own conformance runner, which asks for tools of certain names: they
// are implemented with our contract of tools, so that the runner tests our own path from the
// message to the tool.

import { createAdaptorServer } from '@hono/node-server'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RequestError } from '../../src/server/index.ts'
import { defineTool } from '../../src/server/api/mcp/mcp-tool.ts'
import { createMcpRoutes } from '../../src/server/api/mcp/mcp-routes.ts'
import { mcpTools } from '../../src/server/api/mcp/tool-table.ts'
import { createOriginCheck } from '../../src/server/origins/check-origin.ts'
import { listen } from '../../src/node/serve/listen.ts'
import { openTestServer, type TestServer } from '../support/server.ts'
import { root } from '../support/sources.ts'
import { areInstalled } from './load-client.ts'

const shared = {
  title: 'For the runner',
  about: 'For the runner.',
  scope: 'infer',
  fields: {},
  required: [],
  answer: { type: 'object' },
  isReadOnly: true,
} as const
const runnersTools = [
  defineTool({
    ...shared,
    name: 'test_simple_text',
    run: async () => ({ text: 'This is a simple text response for testing.', value: {} }),
  }),
  defineTool({
    ...shared,
    name: 'test_error_handling',
    async run() {
      throw new RequestError('This tool intentionally returns an error for testing')
    },
  }),
  defineTool({
    ...shared,
    name: 'test_tool_with_progress',
    async run({ report }) {
      for (const done of [0, 50, 100]) await report(done, `${done} %`, 100)
      return { text: 'done', value: {} }
    },
  }),
]

const runner = join(
  root,
  'test/clients/node_modules/@modelcontextprotocol/conformance/dist/index.js',
)

/** The runner's exit code and what it said. */
const runConformance = (...args: readonly string[]): Promise<{ code: number; output: string }> =>
  new Promise((resolve) =>
    execFile(
      process.execPath,
      [runner, 'server', ...args],
      { cwd: join(root, 'test/clients'), env: { ...process.env, NO_COLOR: '1' } },
      (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    ),
  )

const title = areInstalled
  ? "MCP's conformance"
  : "MCP's conformance [skip: not installed; npm test installs it, or npm ci in test/clients]"

describe.skipIf(!areInstalled)(title, () => {
  let opened: TestServer
  let http: HttpServer
  let url: string
  beforeAll(async () => {
    const tools = [...mcpTools, ...runnersTools]
    const parts = { version: '1.0.0', maxBodyBytes: 2 ** 20, onFault: console.error }
    opened = await openTestServer({
      serverOptions: {
        routes: createMcpRoutes({ tools, ...parts }),
        middleware: [createOriginCheck({ origins: [], isOpenOnLoopback: async () => true })],
      },
    })
    const { server } = opened
    http = createAdaptorServer({
      fetch: (request, env) => server.fetch(request, env),
      overrideGlobalObjects: false,
    }) as HttpServer
    url = `${await listen(http, '127.0.0.1', 0)}/mcp`
  })
  afterAll(async () => {
    http.closeAllConnections()
    await new Promise((resolve) => http.close(resolve))
    await opened.close()
  })

  it.each([
    ['2025-11-25', ['server-sse-multiple-streams']], // of one session, and there are none
    ['2026-07-28', []],
  ])(
    'of revision %s holds, but for what is listed as not offered',
    { timeout: 180_000 },
    async (revision, more) => {
      const listed = await readFile(join(root, 'test/clients/mcp-conformance.yml'), 'utf8')
      const place = join(await mkdtemp(join(tmpdir(), 'graft-mcp-')), 'expected.yml')
      await writeFile(place, listed + more.map((name) => `  - ${name}\n`).join(''))
      const { code, output } = await runConformance(
        ...['--url', url, '--requirements', revision, '--expected-failures', place],
      )
      await rm(dirname(place), { recursive: true })
      expect(output).toContain('=== SUMMARY ===')
      expect([code, code === 0 ? '' : output.slice(-1500)]).toEqual([0, ''])
    },
  )
})
