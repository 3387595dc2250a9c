// Files over HTTP: kept, listed, read, removed; whose they are; and what is refused.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer, type StartedServer } from '../../src/node/index.ts'
import { openFileFolder } from '../../src/node/serve/state/file-folder.ts'
import { openState } from '../../src/node/serve/state/open-state.ts'
import { KeyRing } from '../../src/server/keys/key-ring.ts'
import type { KeyScope } from '../../src/server/keys/api-key.ts'

let folder: string
let server: StartedServer
const keys = new Map<string, string>()
const rows = '{"prompt":"a","completion":"b"}\n'

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-files-'))
  const state = await openState(folder)
  const random = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count))
  const ring = new KeyRing({ store: state.keys, random, now: Date.now })
  const given: Record<string, KeyScope[]> = { trainer: ['train', 'infer'], reader: ['infer'] }
  for (const [name, scopes] of Object.entries({ ...given, boss: ['admin'] as KeyScope[] }))
    keys.set(name, (await ring.add({ name, scopes })).text)
  await state.close()
  server = await startServer({
    model: 'stories260k',
    isolation: 'none',
    state: folder,
    log: 'off',
    port: 0,
    maxFileBytes: 4096,
    filesBytes: 8192,
  })
})
afterAll(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

const call = async (key: string, method: string, path: string, body?: FormData | string) => {
  const headers = { authorization: `Bearer ${keys.get(key)}` }
  const response = await fetch(server.url + path, {
    method,
    headers,
    ...(body !== undefined && { body }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  }
}
const toForm = (
  content: string,
  fields: object = { purpose: 'fine-tune' },
  name = 'rows.jsonl',
) => {
  const form = new FormData()
  form.append('file', new Blob([content]), name)
  for (const [field, value] of Object.entries(fields)) form.append(field, String(value))
  return form
}

describe('files', () => {
  it('are kept, described, listed, read and removed', async () => {
    const { status, body } = await call('trainer', 'POST', '/v1/files', toForm(rows))
    expect([status, body]).toEqual([
      200,
      {
        id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
        object: 'file',
        bytes: rows.length,
        created_at: expect.any(Number),
        expires_at: null,
        filename: 'rows.jsonl',
        purpose: 'fine-tune',
        status: 'processed',
        status_details: null,
      },
    ])
    expect((await call('trainer', 'GET', `/v1/files/${body.id}`)).body).toEqual(body)
    const listed = await call('trainer', 'GET', '/v1/files?purpose=fine-tune')
    expect(listed.body).toMatchObject({ object: 'list', data: [body], has_more: false })
    expect((await call('trainer', 'GET', '/v1/files?purpose=batch')).body.data).toEqual([])
    const content = await call('trainer', 'GET', `/v1/files/${body.id}/content`)
    expect(content.body).toBe(rows)
    expect(content.headers.get('content-disposition')).toContain("filename*=UTF-8''rows.jsonl")
    expect(await readFile(join(folder, 'files', body.id, 'content'), 'utf8')).toBe(rows)
    const removed = await call('trainer', 'DELETE', `/v1/files/${body.id}`)
    expect(removed.body).toEqual({ id: body.id, object: 'file', deleted: true })
    expect(await readdir(join(folder, 'files'))).toEqual([])
    expect((await call('trainer', 'GET', `/v1/files/${body.id}`)).status).toBe(404)
  })

  it('belong to their key, and to keys with the scope admin', async () => {
    const own = await call('reader', 'POST', '/v1/files', toForm(rows, { purpose: 'batch' }))
    const path = `/v1/files/${own.body.id}`
    expect((await call('trainer', 'GET', path)).status).toBe(404)
    expect((await call('trainer', 'GET', `${path}/content`)).status).toBe(404)
    expect((await call('trainer', 'DELETE', path)).status).toBe(404)
    expect((await call('trainer', 'GET', '/v1/files')).body.data).toEqual([])
    expect((await call('boss', 'GET', '/v1/files')).body.data).toHaveLength(1)
    expect((await call('reader', 'POST', '/v1/files', toForm(rows))).body.error).toMatchObject({
      code: 'insufficient_scope',
      param: 'purpose',
    })
    await call('boss', 'DELETE', path)
  })

  it('are listed in pages', async () => {
    const ids: string[] = []
    for (let i = 0; i < 3; i++)
      ids.push((await call('trainer', 'POST', '/v1/files', toForm(rows))).body.id)
    const first = (await call('trainer', 'GET', '/v1/files?limit=2&order=asc')).body
    expect([first.data.length, first.has_more]).toEqual([2, true])
    const rest = (await call('trainer', 'GET', `/v1/files?order=asc&after=${first.last_id}`)).body
    expect([rest.data.length, rest.has_more]).toEqual([1, false])
    expect([...first.data, ...rest.data].map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    for (const id of ids) await call('trainer', 'DELETE', `/v1/files/${id}`)
  })

  it.each<[string, FormData | string, number, string]>([
    ['without a file', (() => new FormData())(), 400, 'file is missing'],
    ['without a purpose', toForm(rows, {}), 400, 'purpose is missing'],
    ['for another purpose', toForm(rows, { purpose: 'vision' }), 400, 'got "vision", expected'],
    ['with an unknown field', toForm(rows, { purpse: 'batch' }), 400, 'Did you mean "purpose"?'],
    ['that is empty', toForm(''), 400, 'it is empty'],
    ['that is too long', toForm('x'.repeat(5000)), 413, 'allows 4096'],
    ['far too long', toForm('x'.repeat(50_000)), 413, 'allows 20480'],
    ['that is no form', '{}', 400, 'expected multipart/form-data'],
    [
      'with a short life',
      toForm(rows, {
        purpose: 'batch',
        'expires_after[anchor]': 'created_at',
        'expires_after[seconds]': 9,
      }),
      400,
      'from 3600 to',
    ],
  ])('%s is refused', async (_, body, status, message) => {
    const answer = await call('trainer', 'POST', '/v1/files', body)
    expect([answer.status, answer.body.error.message]).toEqual([
      status,
      expect.stringContaining(message),
    ])
    expect((await call('boss', 'GET', '/v1/files')).body.data).toEqual([])
  })

  it('of a broken form, an unknown id and wrong pages are refused', async () => {
    const response = await fetch(`${server.url}/v1/files`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${keys.get('trainer')}`,
        'content-type': 'multipart/form-data; boundary=x',
      },
      body: '--x\r\nContent-Disposition: form-data; name="file"',
    })
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { code: 'invalid_form' } },
    ])
    for (const id of ['file-1', '..%2f..%2fserver.db', `file-${'0'.repeat(32)}`])
      expect((await call('boss', 'GET', `/v1/files/${id}`)).status).toBe(404)
    for (const query of ['limit=0', 'limit=a', 'order=up', 'after=file-1', 'purpose=x', 'page=2'])
      expect((await call('boss', 'GET', `/v1/files?${query}`)).status).toBe(400)
  })

  it('beyond all that may be kept are refused', async () => {
    const long = 'x'.repeat(3000)
    for (let i = 0; i < 2; i++)
      expect((await call('trainer', 'POST', '/v1/files', toForm(long))).status).toBe(200)
    const third = await call('trainer', 'POST', '/v1/files', toForm(long))
    expect([third.status, third.body.error.code]).toEqual([413, 'storage_full'])
  })
})

describe('a file with an end', () => {
  it('is removed when it is looked for after it', async () => {
    let now = 1_000_000
    const store = openFileFolder(join(folder, 'ending'), () => now)
    const file = {
      name: 'a',
      owner: '',
      purpose: 'batch',
      createdAt: 1000,
      expiresAt: 4600,
    } as const
    const { id } = await store.add(file, [new TextEncoder().encode('abc')])
    expect(await store.find(id)).toMatchObject({ sizeBytes: 3 })
    now = 4_600_000
    expect(await store.list()).toEqual([])
    expect(await readdir(join(folder, 'ending'))).toEqual([])
  })
})
