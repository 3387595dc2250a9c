import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { fetchFromHub, type HubOptions, parseHubReference } from './hub.ts'

const commit = 'c0ffee'.padEnd(40, '0')
let files: Record<string, string> = {}
let requests: string[] = []
let cache = ''
let server: Server
let options: HubOptions

const entries = (): object[] =>
  Object.entries(files).map(([path, text]) => {
    const oid = createHash('sha256').update(text).digest('hex')
    return {
      type: 'file',
      path,
      size: text.length,
      oid: 'git',
      ...(path.endsWith('.safetensors') && { lfs: { oid, size: text.length, pointerSize: 1 } }),
    }
  })

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'graft-hub-'))
  requests = []
  files = {
    'config.json': '{}',
    'tokenizer.json': '{"t":1}',
    'model.safetensors': 'weights',
    'README.md': '#',
    'onnx/model.safetensors': 'other',
  }
  server = createServer((request, response) => {
    const url = decodeURIComponent(request.url!.split('?')[0]!)
    requests.push(url)
    if (url === '/api/models/owner/name/revision/main')
      return void response.end(JSON.stringify({ _id: '1', id: 'owner/name', sha: commit }))
    if (url === `/api/models/owner/name/tree/${commit}`)
      return void response.end(JSON.stringify(entries()))
    const text = files[url.replace(`/owner/name/resolve/${commit}/`, '')]
    if (text === undefined)
      return void response
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"error":"Repository not found"}')
    response.end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  options = { cache, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(cache, { recursive: true })
})

const fetchName = (source = 'hf:owner/name', changes: Partial<HubOptions> = {}): Promise<string> =>
  fetchFromHub(parseHubReference(source), { ...options, ...changes })

describe('a model on the hub', () => {
  it('is named by owner, name, revision and file', () => {
    expect(parseHubReference('hf:a/b')).toEqual({
      repository: 'a/b',
      revision: 'main',
      ggufPath: undefined,
    })
    expect(parseHubReference('hf:a-1/b.c_d@v1.0')).toEqual({
      repository: 'a-1/b.c_d',
      revision: 'v1.0',
      ggufPath: undefined,
    })
    expect(parseHubReference('hf:a/b/q4/x.gguf@refs/pr/1')).toEqual({
      repository: 'a/b',
      revision: 'refs/pr/1',
      ggufPath: 'q4/x.gguf',
    })
    for (const wrong of ['hf:a', 'hf:a/b/c', 'a/b', 'hf:a/b@'])
      expect(() => parseHubReference(wrong)).toThrow(OptionError)
  })

  it('comes with the files that loading needs and no others', async () => {
    const folder = await fetchName()
    expect((await readdir(folder)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    expect(await readFile(join(folder, 'model.safetensors'), 'utf8')).toBe('weights')
  })

  it('comes with its chat templates, named ones too', async () => {
    files['chat_template.jinja'] = 'd'
    files['additional_chat_templates/tool_use.jinja'] = 't'
    files['additional_chat_templates/notes.txt'] = 'n'
    const folder = await fetchName()
    expect(await readFile(join(folder, 'chat_template.jinja'), 'utf8')).toBe('d')
    expect(await readdir(join(folder, 'additional_chat_templates'))).toEqual(['tool_use.jinja'])
  })

  it('comes from the cache the second time, offline too', async () => {
    const folder = await fetchName()
    requests = []
    expect(await fetchName()).toBe(folder)
    expect(await fetchName('hf:owner/name', { offline: true })).toBe(folder)
    expect(requests).toEqual([])
  })

  it('is fetched once by two at the same time', async () => {
    await Promise.all([fetchName(), fetchName()])
    expect(requests.filter((url) => url.endsWith('model.safetensors'))).toHaveLength(1)
  })

  it('is completed where a file is missing in the cache', async () => {
    const folder = await fetchName()
    await rm(join(folder, 'tokenizer.json'))
    requests = []
    await fetchName()
    expect(requests.filter((url) => url.includes('/resolve/'))).toEqual([
      `/owner/name/resolve/${commit}/tokenizer.json`,
    ])
  })

  it('comes in shards, without a second copy of the weights', async () => {
    files = {
      'config.json': '{}',
      'model.safetensors.index.json': '{}',
      'model-00001-of-00001.safetensors': 'a',
      'consolidated.safetensors': 'a',
    }
    expect((await readdir(await fetchName())).sort()).toEqual([
      'config.json',
      'model-00001-of-00001.safetensors',
      'model.safetensors.index.json',
    ])
  })

  it('may be one GGUF file', async () => {
    files = { 'q4.gguf': 'GGUF', 'q8.gguf': 'GGUF8' }
    expect(await readFile(await fetchName('hf:owner/name/q4.gguf'), 'utf8')).toBe('GGUF')
    await expect(fetchName()).rejects.toThrow(
      /holds no \.safetensors files.*q4\.gguf, q8\.gguf.*hf:owner\/name\/q4\.gguf/,
    )
  })

  it('may be a split GGUF, which comes with all its parts', async () => {
    files = {
      'big/q4-00001-of-00002.gguf': 'one',
      'big/q4-00002-of-00002.gguf': 'two',
      'big/q8-00001-of-00002.gguf': 'x',
    }
    const path = await fetchName('hf:owner/name/big/q4-00001-of-00002.gguf')
    expect(path.endsWith('q4-00001-of-00002.gguf')).toBe(true)
    expect(await readdir(join(path, '..'))).toEqual([
      'q4-00001-of-00002.gguf',
      'q4-00002-of-00002.gguf',
    ])
  })

  it('is missed with the reason, and leaves no trace of a half model', async () => {
    await expect(fetchName('hf:owner/other')).rejects.toThrow(NotFoundError)
    await expect(fetchName('hf:owner/other')).rejects.toThrow(
      /owner\/other@main: Repository not found/,
    )
    await expect(fetchName('hf:owner/name', { offline: true })).rejects.toThrow(/offline/)
    server.removeAllListeners('request').on('request', () => undefined)
    await expect(fetchName('hf:owner/name', { connectTimeoutMs: 100 })).rejects.toThrow(
      /no answer within 0\.1 s/,
    )
  })
})
