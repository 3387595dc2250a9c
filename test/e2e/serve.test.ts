// graft serve as users start it: the first screen, a streamed answer, an expert, a graceful
// shutdown.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadModel, saveAdapter } from '../../src/node/index.ts'
import { graft } from '../support/cli.ts'
import { createNoisyExpert, parseRecords } from '../support/server.ts'
import { root } from '../support/sources.ts'

let folder: string
let child: ChildProcess
let screen = ''
let url: string

/** Resolves when the first screen is whole. */
async function start(args: readonly string[]): Promise<void> {
  child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'serve', ...args], {
    env: { ...process.env, NO_COLOR: '1', GRAFT_STATE: join(folder, 'state') },
  })
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`graft serve ended with ${code}: ${screen}`)))
    child.stderr!.on('data', (part: Buffer) => (screen += String(part)))
    child.stdout!.on('data', (part: Buffer) => {
      screen += String(part)
      if (screen.includes('Ctrl-C stops it')) resolve()
    })
  })
  url = /http:\/\/127\.0\.0\.1:\d+/.exec(screen)![0]
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-serve-'))
  const model = await loadModel('stories260k')
  await saveAdapter(createNoisyExpert(model, 1), join(folder, 'adapters', 'noisy'))
  await saveAdapter(createNoisyExpert(model, 2), join(folder, 'adapters', 'other'))
  await model.dispose()
  const adapter = `coder=${join(folder, 'adapters', 'noisy')}`
  const allowed = ['--adapter-folder', join(folder, 'adapters')]
  await start(['stories260k', '--port', '0', '--adapter', adapter, ...allowed])
})
afterAll(() => {
  child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

const post = (path: string, body: object): Promise<Response> =>
  fetch(url + path, { method: 'POST', body: JSON.stringify(body) })

describe('graft serve', () => {
  it('shows the address, the experts, what chats are written as, and two examples to copy', () => {
    expect(screen).toContain(`Serving stories260k at ${url}/v1`)
    expect(screen).toContain('models    stories260k, coder')
    expect(screen).toContain(
      'chats     written as ChatML, because stories260k has no chat template',
    )
    expect(screen).toContain(`curl ${url}/v1/completions`)
    expect(screen).toContain('await client.completions.create({"model":"coder","prompt":')
    expect(screen).toContain(`new OpenAI({ baseURL: '${url}/v1'`)
  })

  it('is listed by graft alone while it runs', async () => {
    const { code, stdout } = await graft([])
    expect([code, stdout]).toEqual([0, expect.stringContaining(`graft serve ${url}, process`)])
  })

  it('streams an answer of an expert', async () => {
    const messages = [{ role: 'user', content: 'A story' }]
    const asked = { model: 'coder', messages, max_tokens: 12, temperature: 0 }
    const response = await post('/v1/chat/completions', { ...asked, stream: true })
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
    const records = parseRecords(await response.text())
    expect(records.at(-1)).toBe('[DONE]')
    const text = records
      .slice(0, -1)
      .map((one) => one.choices[0].delta.content ?? '')
      .join('')
    const whole = (await (await post('/v1/chat/completions', asked)).json()) as {
      choices: { message: { content: string } }[]
    }
    expect(text).toBe(whole.choices[0]!.message.content)
    expect(text.length).toBeGreaterThan(5)
  })

  it('loads experts from the allowed folder, and from no other place', async () => {
    const loaded = await post('/v1/experts', { path: 'other' })
    expect([loaded.status, await loaded.json()]).toMatchObject([
      200,
      { id: 'other', path: 'other' },
    ])
    const answered = await post('/v1/completions', { model: 'coder:0.5+other:0.5', prompt: 'Once' })
    expect(answered.status).toBe(200)
    for (const path of ['../state', '/etc/passwd', 'file:///etc', 'http://169.254.1.1', 'a\0b']) {
      const refused = await post('/v1/load_lora_adapter', { lora_name: 'x', lora_path: path })
      expect(refused.status).toBe(400)
    }
  })

  it('a client that goes away ends its answer', async () => {
    const gone = new AbortController()
    const body = { prompt: 'Once', max_tokens: 480, ignore_eos: true, stream: true }
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: gone.signal,
    })
    await response.body!.getReader().read()
    gone.abort()
    const readStatistics = async () =>
      (await (await fetch(`${url}/v1/stats`)).json()) as { running: number; cancelled: number }
    await expect.poll(async () => (await readStatistics()).running, { timeout: 10_000 }).toBe(0)
    expect((await readStatistics()).cancelled).toBe(1)
  })

  it('reports that a port is taken', async () => {
    const port = new URL(url).port
    const { code, stderr } = await graft([
      'serve',
      'stories260k',
      '--port',
      port,
      '--state',
      'memory',
    ])
    expect([code, stderr]).toEqual([1, expect.stringContaining('choose another --port')])
  })

  it('answers what runs when it is asked to end, and reports how it went', async () => {
    const body = { prompt: 'Once', max_tokens: 200, ignore_eos: true }
    const answer = post('/v1/completions', body)
    await expect
      .poll(async () => (await fetch(`${url}/slots`).then((one) => one.text())).includes('true'), {
        timeout: 10_000,
        interval: 5,
      })
      .toBe(true)
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    const { usage } = (await (await answer).json()) as { usage: { completion_tokens: number } }
    expect(usage.completion_tokens).toBe(200)
    expect(await ended).toBe(0)
  })
})
