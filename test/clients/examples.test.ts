// The programs under examples/clients run unchanged against a server of this process.

import { spawn } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type StartedServer } from '../../src/node/index.ts'
import { root } from '../support/sources.ts'
import { areInstalled } from './load-client.ts'

const title = areInstalled
  ? 'examples/clients'
  : 'examples/clients [skip: not installed; npm test installs them, or npm ci in test/clients]'
const programs = globSync('examples/clients/*.mjs', { cwd: root })
const hook = join(root, 'test', 'clients', 'resolve-clients.mjs')

describe.skipIf(!areInstalled)(title, { timeout: 60_000 }, () => {
  let server: StartedServer
  beforeAll(async () => {
    // a context of 2,048 tokens: an agent's turns are longer than 512
    const ropeScaling = { type: 'yarn', factor: 4 } as const
    const options = { model: 'stories260k', ropeScaling, state: 'memory', log: 'off', port: 0 }
    server = await startServer(options)
  })
  afterAll(() => server.close())

  const run = (program: string, ...args: string[]) =>
    new Promise<string[]>((resolve, reject) => {
      const child = spawn(process.execPath, [`--import=${hook}`, join(root, program), ...args], {
        env: { ...process.env, GRAFT_URL: `${server.url}/v1` },
      })
      let output = ''
      let errors = ''
      child.stdout.on('data', (part) => (output += part))
      child.stderr.on('data', (part) => (errors += part))
      child.once('exit', (code) =>
        code === 0 ? resolve(output.trim().split('\n')) : reject(new Error(errors)),
      )
    })

  it('has at most 60 lines each', () => {
    expect(programs).toHaveLength(4)
    for (const program of programs)
      expect(readFileSync(join(root, program), 'utf8').trimEnd().split('\n').length).toBeLessThan(
        61,
      )
  })

  it('openai.mjs lists, writes, streams, keeps to a schema, embeds', async () => {
    const lines = await run('examples/clients/openai.mjs')
    expect(lines[0]).toBe('models: stories260k')
    expect(lines.find((line) => line.startsWith('whole: '))!.length).toBeGreaterThan(20)
    expect(lines).toContain('24 tokens')
    expect(lines.join('\n')).toMatch(/object: { colour: '(red|blue)' }/)
    expect(lines.at(-1)).toMatch(/^a dog and a cat are 0\.\d+ alike$/)
  })

  it('ai.mjs writes in its process and at the server', async () => {
    const lines = (await run('examples/clients/ai.mjs')).join('\n')
    expect(lines).toMatch(/^in this process: .{10}/)
    expect(lines).toMatch(/object: { colour: '(red|blue)' }/)
    expect(lines).toMatch(/embedding of 64 numbers/)
    expect(lines).toMatch(/at a server: .{10}/)
  })

  it('langchain.mjs streams what it invokes, keeps to a schema, embeds', async () => {
    const lines = (await run('examples/clients/langchain.mjs')).join('\n')
    expect(lines).toMatch(/whole: .{10}/)
    expect(lines).toMatch(/stream: .{10}/)
    expect(lines).toMatch(/object: { colour: '(red|blue)' }/)
    expect(lines).toMatch(/vectors of 64 and 64 numbers$/)
  })

  it('agent.mjs calls a tool with arguments that fit, and answers', async () => {
    const lines = (await run('examples/clients/agent.mjs', 'What is 2 + 3?')).join('\n')
    expect(lines).toMatch(/^(calculate\({.*}\) = -?\d+|today\({ ?}\) = \w+)/)
    expect(lines).toMatch(/\nanswer: ./)
  })
})
