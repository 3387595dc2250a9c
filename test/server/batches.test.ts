// Batches over HTTP: a file of requests in, files of results out, in OpenAI's shape; over a restart,
// cancelled, expired, and with what can be wrong with a file.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApiKey } from '../../src/server/keys/api-key.ts'
import { openState } from '../../src/node/serve/state/open-state.ts'
import { type StartedServer, startServer } from '../../src/node/serve/start-server.ts'

const timeout = 60_000
/** What JSON.parse gives: tests look into bodies of every form. */
type Body = ReturnType<typeof JSON.parse>
let folder: string
let server: StartedServer

const start = (options: object = {}): Promise<StartedServer> =>
  startServer({
    model: 'stories260k',
    port: 0,
    isolation: 'none',
    state: join(folder, 'state'),
    log: 'off',
    ...options,
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-batches-'))
  server = await start()
}, timeout)
afterAll(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

async function ask(path: string, init: RequestInit = {}, from = server) {
  const response = await fetch(from.url + path, init)
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return { status: response.status, text, body: (isJson ? JSON.parse(text) : undefined) as Body }
}
const post = (path: string, body: object = {}, from = server) =>
  ask(path, { method: 'POST', body: JSON.stringify(body) }, from)

async function upload(lines: readonly unknown[], from = server, purpose = 'batch') {
  const form = new FormData()
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
  form.append('purpose', purpose)
  form.append('file', new Blob([text.join('\n')]), 'requests.jsonl')
  return (await ask('/v1/files', { method: 'POST', body: form }, from)).body.id as string
}
const url = '/v1/completions'
const line = (id: string, body: object = {}, to = url) => ({
  custom_id: id,
  method: 'POST',
  url: to,
  body: { prompt: `Once ${id}`, max_tokens: 4, temperature: 0, ...body },
})

async function begin(lines: readonly unknown[], more: object = {}, from = server): Promise<Body> {
  const input_file_id = await upload(lines, from)
  const body = { input_file_id, endpoint: url, completion_window: '24h', ...more }
  return (await post('/v1/batches', body, from)).body
}

async function waitForEnd(id: string, from = server): Promise<Body> {
  for (;;) {
    const { body } = await ask(`/v1/batches/${id}`, {}, from)
    if (['completed', 'failed', 'expired', 'cancelled'].includes(body.status)) return body
    await sleep(20)
  }
}
const readLines = async (fileId: string, from = server): Promise<Body[]> =>
  (await ask(`/v1/files/${fileId}/content`, {}, from)).text
    .trim()
    .split('\n')
    .map((one) => JSON.parse(one) as Body)

describe('a batch', { timeout }, () => {
  it('answers every request as its route does, in the order of the file', async () => {
    const lines = Array.from({ length: 12 }, (_, i) => line(`r${i}`))
    const begun = await begin(lines, { metadata: { job: 'nightly' } })
    expect(begun).toMatchObject({
      object: 'batch',
      endpoint: url,
      status: 'validating',
      errors: null,
      output_file_id: null,
      metadata: { job: 'nightly' },
      expires_at: begun.created_at + 86_400,
    })
    expect(begun.id).toMatch(/^batch_[0-9a-f]{32}$/)
    const ended = await waitForEnd(begun.id)
    expect(ended).toMatchObject({
      status: 'completed',
      request_counts: { total: 12, completed: 12, failed: 0 },
      error_file_id: null,
      usage: { output_tokens: 48 },
    })
    const results = await readLines(ended.output_file_id)
    expect(results.map(({ custom_id: id }) => id)).toEqual(lines.map(({ custom_id: id }) => id))
    for (const [i, { response, error, id }] of results.entries()) {
      expect([response.status_code, error]).toEqual([200, null])
      expect(id).toMatch(/^batch_req_/)
      const { text } = (await post(url, lines[i]!.body)).body.choices[0]
      expect(response.body.choices[0].text).toBe(text)
      expect(response.request_id).toMatch(/^[\w-]+$/)
    }
    const { body: file } = await ask(`/v1/files/${ended.output_file_id}`)
    expect(file).toMatchObject({ purpose: 'batch_output', filename: `${begun.id}_output.jsonl` })
    expect(await readdir(join(folder, 'state', 'batches', begun.id))).toEqual(['batch.json'])
  })

  it('keeps requests that fail apart', async () => {
    const lines = [line('good'), line('hot', { temperature: 9 }), line('who', { model: 'nobody' })]
    const ended = await waitForEnd((await begin(lines)).id)
    expect(ended).toMatchObject({
      status: 'completed',
      request_counts: { total: 3, completed: 1, failed: 2 },
    })
    expect((await readLines(ended.output_file_id)).map((one) => one.custom_id)).toEqual(['good'])
    const failed = await readLines(ended.error_file_id)
    expect(
      failed.map(({ custom_id: id, response }) => [
        id,
        response.status_code,
        response.body.error.param,
      ]),
    ).toEqual([
      ['hot', 400, 'temperature'],
      ['who', 404, 'model'],
    ])
  })

  it.each([
    [
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 },
      'chat.completion',
    ],
    ['/v1/embeddings', { input: 'a' }, 'list'],
    ['/v1/responses', { input: 'a', max_output_tokens: 4 }, 'response'],
  ])('asks %s', async (endpoint, body, object) => {
    const one = { custom_id: 'a', method: 'POST', url: endpoint, body }
    const ended = await waitForEnd((await begin([one], { endpoint })).id)
    expect(ended.request_counts.completed).toBe(1)
    expect((await readLines(ended.output_file_id))[0].response.body.object).toBe(object)
    expect(ended.usage.input_tokens).toBeGreaterThan(0)
  })
})

describe('a file with faults', { timeout }, () => {
  it('fails the batch, and reports which lines', async () => {
    const lines = [
      line('a'),
      '{"custom_id": "b"',
      line('a'),
      { custom_id: 'c', method: 'POST', url },
      line('d', {}, '/v1/embeddings'),
      line('e', { stream: true }),
      Object.assign(line('f'), { method: 'GET' }),
      Object.assign(line('g'), { customid: 'g' }),
      '[]',
    ]
    const ended = await waitForEnd((await begin(lines)).id)
    expect(ended).toMatchObject({ status: 'failed', output_file_id: null })
    expect(ended.errors.data.map((one: Body) => [one.line, one.code, one.param])).toEqual([
      [2, 'invalid_json_line', null],
      [3, 'duplicate_custom_id', 'custom_id'],
      [4, 'missing_required_parameter', 'body'],
      [5, 'mismatched_url', 'url'],
      [6, 'invalid_value', 'body.stream'],
      [7, 'invalid_value', 'method'],
      [8, 'unknown_parameter', 'customid'],
      [9, 'invalid_json_line', null],
    ])
    const messages = ended.errors.data.map((one: Body) => one.message)
    expect(messages[1]).toBe('Line 3 custom_id: "a" is that of line 1 already.')
    expect(messages[6]).toContain('did you mean "custom_id"?')
  })

  it('or without a line fails too', async () => {
    const ended = await waitForEnd((await begin(['', ' '])).id)
    expect([ended.status, ended.errors.data[0].code]).toEqual(['failed', 'empty_file'])
  })

  it.each([
    [{ input_file_id: 'file-1' }, 404, 'input_file_id'],
    [{ endpoint: '/v1/nothing' }, 400, 'endpoint'],
    [{ completion_window: 'soon' }, 400, 'completion_window'],
    [{ completion_window: '1000h' }, 400, 'completion_window'],
    [{ metadata: { a: 1 } }, 400, 'metadata'],
    [{ output_expires_after: { anchor: 'created_at', seconds: 1 } }, 400, 'output_expires_after'],
    [{ completionwindow: '24h' }, 400, 'completionwindow'],
  ])('is refused at once: %j', async (more, status, param) => {
    const body = {
      input_file_id: await upload([line('a')]),
      endpoint: url,
      completion_window: '1h',
    }
    const answer = await post('/v1/batches', { ...body, ...more })
    expect([answer.status, answer.body.error.param]).toEqual([status, param])
  })

  it('of another purpose is refused', async () => {
    const input_file_id = await upload([line('a')], server, 'fine-tune')
    const body = { input_file_id, endpoint: url, completion_window: '24h' }
    const { status, body: answer } = await post('/v1/batches', body)
    expect(status).toBe(400)
    expect(answer.error.message).toContain('"fine-tune", expected "batch"')
  })
})

describe('a batch that ends early', { timeout }, () => {
  const many = Array.from({ length: 40 }, (_, i) => line(`r${i}`, { max_tokens: 40 }))

  it('is cancelled: what was answered stays, the rest is named', async () => {
    const { id } = await begin(many)
    while ((await ask(`/v1/batches/${id}`)).body.request_counts.completed < 3) await sleep(10)
    expect((await post(`/v1/batches/${id}/cancel`)).body.status).toBe('cancelling')
    const ended = await waitForEnd(id)
    const { total, completed, failed } = ended.request_counts
    expect([ended.status, total, completed + failed]).toEqual(['cancelled', 40, 40])
    expect(completed).toBeGreaterThanOrEqual(3)
    expect(await readLines(ended.output_file_id)).toHaveLength(completed)
    const [first] = await readLines(ended.error_file_id)
    expect([first.response, first.error.code]).toEqual([null, 'batch_cancelled'])
    const again = await post(`/v1/batches/${id}/cancel`)
    expect([again.status, again.body.error.code]).toEqual([409, 'batch_ended'])
  })

  it('continues after a restart of the server, with nothing asked twice', async () => {
    const { id } = await begin(many)
    while ((await ask(`/v1/batches/${id}`)).body.request_counts.completed < 3) await sleep(10)
    await server.close()
    server = await start()
    const early = (await ask(`/v1/batches/${id}`)).body
    expect(early.status).toBe('in_progress')
    await sleep(100)
    const now = (await ask(`/v1/batches/${id}`)).body.request_counts
    expect(now.completed).toBeGreaterThanOrEqual(3)
    expect(now.completed).toBeLessThan(40)
    const ended = await waitForEnd(id)
    expect(ended.request_counts).toEqual({ total: 40, completed: 40, failed: 0 })
    const ids = (await readLines(ended.output_file_id)).map(({ custom_id: one }) => one)
    expect(ids).toEqual(many.map(({ custom_id: one }) => one))
  })

  it('is listed, the newest first, in pages', async () => {
    const { body } = await ask('/v1/batches?limit=2')
    expect([body.object, body.data.length, body.has_more]).toEqual(['list', 2, true])
    const next = (await ask(`/v1/batches?limit=2&after=${body.last_id}`)).body
    expect(next.data[0].created_at).toBeLessThanOrEqual(body.data[1].created_at)
    expect((await ask('/v1/batches/batch_1')).body.error.code).toBe('batch_not_found')
  })
})

describe('with keys', { timeout }, () => {
  it('a batch is of its key: others do not see it, and once revoked it is not answered', async () => {
    const state = join(folder, 'keys')
    const opened = await openState(state)
    const keys = (['infer', 'infer', 'admin'] as const).map((scope, i) =>
      createApiKey(
        { name: ['ann', 'bob', 'root'][i]!, scopes: ['infer', scope] },
        new Uint8Array(32).fill(i),
        '2026-11-30T10:00:00.000Z',
      ),
    )
    for (const { record } of keys) await opened.keys.add(record)
    const own = await start({ state })
    const as = (i: number, path: string, init: RequestInit = {}) =>
      ask(path, { ...init, headers: { authorization: `Bearer ${keys[i]!.text}` } }, own)
    const form = new FormData()
    form.append('purpose', 'batch')
    const lines = Array.from({ length: 60 }, (_, i) => JSON.stringify(line(`r${i}`)))
    form.append('file', new Blob([lines.join('\n')]), 'a.jsonl')
    const { id: input_file_id } = (await as(0, '/v1/files', { method: 'POST', body: form })).body
    const body = JSON.stringify({ input_file_id, endpoint: url, completion_window: '24h' })
    expect((await as(1, '/v1/batches', { method: 'POST', body })).status).toBe(404)
    const { id } = (await as(0, '/v1/batches', { method: 'POST', body })).body
    expect((await as(0, '/v1/batches')).body.data).toHaveLength(1)
    expect((await as(1, `/v1/batches/${id}`)).status).toBe(404)
    expect((await as(1, '/v1/batches')).body.data).toEqual([])
    expect((await ask(`/v1/batches/${id}`, {}, own)).status).toBe(401)
    let batch: Body
    const look = async (): Promise<void> => void (batch = (await as(2, `/v1/batches/${id}`)).body)
    do await look()
    while (batch.request_counts.completed === 0)
    await opened.keys.revoke('ann', '2026-11-30T11:00:00.000Z')
    while (batch.status !== 'completed') await look()
    const { completed, failed } = batch.request_counts
    expect([completed > 0, failed > 0, completed + failed]).toEqual([true, true, 60])
    const errors = (await as(2, `/v1/files/${batch.error_file_id}/content`)).text
    expect(JSON.parse(errors.split('\n')[0]!).response.status_code).toBe(401)
    await own.close()
    await opened.close()
  })
})
