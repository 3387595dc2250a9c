// `graft serve` in a separate process: graceful shutdown, restored state after a restart, and
// service during failures.

import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { rm, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadModel, saveAdapter } from '../../src/node/index.ts'
import { graft, scratchFolder } from '../support/cli.ts'
import { askServe, startServe, type ServeProcess } from '../support/serve-process.ts'
import { createNoisyExpert } from '../support/server.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const timeout = 120_000

beforeAll(async () => {
  const model = await loadModel('stories260k')
  for (const [i, name] of ['coder', 'poet', 'other'].entries())
    await saveAdapter(createNoisyExpert(model, i + 1), at('experts', name))
  await model.dispose()
}, timeout)
afterAll(() => scratch.remove())

const folders = (state: string): string[] => [
  '--state',
  at(state),
  '--adapter-folder',
  at('experts'),
]
const complete = (server: ServeProcess, model: string, key?: string) =>
  askServe(
    server,
    '/v1/completions',
    { model, prompt: 'Once upon a time', max_tokens: 16, temperature: 0 },
    key,
  )
const addKey = async (state: string, name: string, scopes: string): Promise<string> => {
  const args = ['serve', 'keys', 'add', name, '--scopes', scopes, '--state', at(state), '--json']
  return JSON.parse((await graft(args)).stdout).key as string
}

describe('row 128: SIGTERM', { timeout }, () => {
  it('lets a stream end whole, refuses new requests, and ends with 0', async () => {
    const server = await startServe({ args: ['--state', 'memory'] })
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'stories260k',
        prompt: 'Once upon a time',
        max_tokens: 400,
        ignore_eos: true,
        stream: true,
      }),
    })
    const reader = response.body!.getReader()
    let text = new TextDecoder().decode((await reader.read()).value)
    server.child.kill('SIGTERM')
    await expect.poll(async () => (await askServe(server, '/readyz')).status).toBe(503)
    expect((await askServe(server, '/healthz')).status).toBe(200)
    const refused = await complete(server, 'stories260k')
    expect([refused.status, refused.body.error.code]).toEqual([503, 'shutting_down'])
    expect(refused.headers.get('retry-after')).toBe('5')
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += new TextDecoder().decode(part.value)
    const records = text.split('\n\n').filter((record) => record.startsWith('data: '))
    expect(records.at(-1)).toBe('data: [DONE]')
    expect(records.length).toBeGreaterThan(300)
    expect(await server.ended).toEqual({ code: 0, signal: null })
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow('fetch failed')
  })
  it('cuts off a client that never reads, after the limit; others are answered until then', async () => {
    const server = await startServe({ args: ['--state', 'memory', '--drain-seconds', '1'] })
    const { port } = new URL(server.url)
    const body = JSON.stringify({
      model: 'stories260k',
      prompt: 'a',
      max_tokens: 400,
      n: 16,
      stream: true,
      logprobs: 5,
      ignore_eos: true,
    })
    const socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    for (let i = 0; i < 3; i++) expect((await complete(server, 'stories260k')).status).toBe(200)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
    socket.destroy()
  })
})

describe('a restart', { timeout }, () => {
  it('comes back with the same keys, experts and usage; a corrupt expert is skipped', async () => {
    const admin = await addKey('kept', 'operator', 'admin')
    const args = folders('kept')
    const first = await startServe({ args })
    expect((await complete(first, 'stories260k')).status).toBe(401)
    for (const name of ['coder', 'poet']) {
      const load = { lora_name: name, lora_path: name }
      expect((await askServe(first, '/v1/load_lora_adapter', load, admin)).status).toBe(200)
    }
    const before = await complete(first, 'coder', admin)
    const { body: listed } = await askServe(first, '/v1/models', undefined, admin)
    expect(JSON.stringify(listed)).not.toContain(scratch.path)
    expect((await first.stop()).code).toBe(0)
    await writeFile(at('experts', 'poet', 'adapter_model.safetensors'), 'broken')
    const second = await startServe({ args })
    expect(second.output()).toContain('poet')
    const after = await complete(second, 'coder', admin)
    expect(after.body.choices[0].text).toBe(before.body.choices[0].text)
    expect((await complete(second, 'poet', admin)).status).toBe(404)
    const failure = second.log().find(({ event }) => event === 'failure')
    expect(failure?.['what']).toContain('"poet"')
    const usage = await askServe(second, '/v1/usage', undefined, admin)
    const row = usage.body.data.find((one: { expert: string }) => one.expert === 'coder')
    expect(row).toMatchObject({ key: 'operator', requests: 2, completion_tokens: 32 })
    expect((await second.stop()).code).toBe(0)
  })
  it('after SIGKILL while experts are swapped has whole experts and goes on', async () => {
    const args = folders('killed')
    const first = await startServe({ args })
    const load = (name: string) =>
      askServe(first, '/v1/load_lora_adapter', {
        lora_name: 'swapped',
        lora_path: name,
        load_inplace: true,
      })
    expect((await load('coder')).status).toBe(200)
    let swaps = 0
    const swapping = (async () => {
      for (;;) {
        await load(swaps % 2 === 0 ? 'other' : 'coder')
        swaps++
      }
    })().catch(() => undefined)
    await expect.poll(() => swaps, { timeout: 30_000 }).toBeGreaterThan(5)
    first.child.kill('SIGKILL')
    await Promise.all([first.ended, swapping])
    const second = await startServe({
      args: [...args, '--adapter', `pinned=${at('experts/other')}`],
    })
    const { body } = await complete(second, 'swapped')
    const own = await complete(second, 'pinned')
    expect(body.choices[0].text.length).toBeGreaterThan(10)
    expect(own.status).toBe(200)
    expect((await second.stop()).code).toBe(0)
  })
})

describe('a full disk', { timeout }, () => {
  it('stops no answers: usage is written when there is room again, and it is said once', async () => {
    const args = ['--state', at('full')]
    await (await startServe({ args })).stop()
    const server = await startServe({ args, mostFileKilobytes: 100 })
    const statuses = new Set<number>()
    for (let i = 0; i < 120; i++) {
      const user = `user-${i}-${'x'.repeat(240)}`
      const prompt = { prompt: 'a', max_tokens: 1, model: 'stories260k', user }
      statuses.add((await askServe(server, '/v1/completions', prompt)).status)
    }
    expect([...statuses]).toEqual([200])
    const failures = server.log().filter(({ event }) => event === 'failure')
    expect(failures.map(({ what }) => what)).toEqual(['usage rows cannot be written'])
    expect((await server.stop()).code).toBe(0)
    await rm(at('full'), { recursive: true })
  })
})

describe('a worker that dies', { timeout }, () => {
  it('ends its answers with an error; the rest goes on, with the experts that were loaded', async () => {
    const server = await startServe({ args: [...folders('worker'), '--isolation', 'process'] })
    const load = { lora_name: 'coder', lora_path: 'other' }
    expect((await askServe(server, '/v1/load_lora_adapter', load)).status).toBe(200)
    const before = await complete(server, 'coder')
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({
        model: 'coder',
        prompt: 'a',
        max_tokens: 450,
        ignore_eos: true,
        stream: true,
        logprobs: 5,
        n: 16,
      }),
    })
    const workers = spawnSync('pgrep', ['-P', String(server.child.pid)], { encoding: 'utf8' })
    for (const pid of workers.stdout.trim().split('\n')) process.kill(Number(pid), 'SIGKILL')
    expect(await response.text()).toContain('"error"')
    expect((await askServe(server, '/healthz')).status).toBe(200)
    await expect
      .poll(async () => (await complete(server, 'coder')).status, { timeout: 60_000 })
      .toBe(200)
    const after = await complete(server, 'coder')
    expect(after.body.choices[0].text).toBe(before.body.choices[0].text)
    expect((await server.stop()).code).toBe(0)
  })
})

describe('an address that others reach', { timeout }, () => {
  it('is refused without a key, and taken with one or when told', async () => {
    const args = ['serve', 'stories260k', '--port', '0', '--host', '0.0.0.0', '--state', at('bare')]
    const { code, stderr } = await graft(args)
    expect(code).toBe(1)
    expect(stderr).toContain('--without-keys')
    const options = ['--host', '0.0.0.0', '--state', at('bare')]
    const open = await startServe({ args: [...options, '--without-keys'] })
    expect((await complete(open, 'stories260k')).status).toBe(200)
    await open.stop()
    await addKey('bare', 'ci', 'infer')
    const closed = await startServe({ args: options })
    expect((await complete(closed, 'stories260k')).status).toBe(401)
    await closed.stop()
  })
})
