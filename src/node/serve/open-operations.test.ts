// A server's operation on Node: access, stored state, and a server on a socket.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, request as requestHttp } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { createServer } from '../../server/app.ts'
import { createTestService, testBase, testRoutes } from '../../server/operations/testing.ts'
import type { LoadExpertRequest, Service } from '../../server/service.ts'
import { endServer } from './end-server.ts'
import { chooseAccess, openOperations, type ServeOperationOptions } from './open-operations.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-operations-'))
  await mkdir(join(folder, 'experts', 'coder'), { recursive: true })
  await mkdir(join(folder, 'experts', 'bad'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('a server without a key', () => {
  it.each(['127.0.0.1', 'localhost', '::1', '127.8.9.10'])(
    'on %s is open to this machine',
    (host) => expect(chooseAccess(host, false, false)).toMatchObject({ keyless: 'loopback' }),
  )
  it.each(['0.0.0.0', '::', '192.168.1.5', 'graft.example', '127.0.0.1.example'])(
    'on %s is refused unless that is wanted',
    (host) => {
      expect(() => chooseAccess(host, false, false)).toThrow(OptionError)
      expect(() => chooseAccess(host, false, false)).toThrow('--without-keys')
      expect(chooseAccess(host, false, true)).toMatchObject({ keyless: 'anyone' })
      expect(chooseAccess(host, true, true)).toMatchObject({ keyless: 'nobody' })
    },
  )
  it('on another address leaves nothing open', async () => {
    const state = join(folder, 'refused')
    await expect(openOperations(createLoading(), { host: '0.0.0.0', state })).rejects.toThrow(
      OptionError,
    )
    await rm(state, { recursive: true })
  })
})

function createLoading(): Service {
  const loaded: { name: string; path: string; isPinned: boolean }[] = []
  return Object.assign({}, createTestService([]), {
    describe: async () => testBase,
    listExperts: async () => loaded,
    loadExpert: async ({ path, name = 'coder' }: LoadExpertRequest) => {
      if (path.endsWith('bad')) throw new Error('a corrupt adapter')
      const expert = { name, path, isPinned: false }
      loaded.push(expert)
      return expert
    },
  }) as unknown as Service
}

const open = (options: ServeOperationOptions, environment: Record<string, string> = {}) =>
  openOperations(
    createLoading(),
    options,
    Object.assign({ GRAFT_STATE: join(folder, 'default') }, environment),
  )

describe('what is kept', () => {
  it('comes back after a restart; what is corrupt is reported and skipped', async () => {
    const state = join(folder, 'kept')
    const log = join(folder, 'kept.log')
    const options = { state, log, adapterFolders: [join(folder, 'experts')] }
    const first = await open(options)
    const { text } = await first.operations.keys.add({ name: 'ci' })
    await first.service.loadExpert({ path: 'coder' })
    await first.state.experts.put(testBase.name, {
      name: 'bad',
      path: 'bad',
      pinned: false,
      loadedAt: '',
    })
    await first.close()
    const second = await open(options)
    expect((await second.operations.keys.find(text))?.name).toBe('ci')
    expect(second.restored.loaded).toEqual(['coder'])
    expect(second.restored.skipped).toMatchObject([{ name: 'bad' }])
    await second.close()
    const lines = (await readFile(log, 'utf8')).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).what)).toEqual([
      'the expert "bad" of the run before is not loaded',
    ])
  })
  it('is in GRAFT_STATE by default, and nowhere with "memory"', async () => {
    const first = await open({})
    await first.operations.keys.add({ name: 'default' })
    await first.close()
    const second = await open({})
    expect(await second.operations.keys.list()).toHaveLength(1)
    await second.close()
    const third = await open({ state: 'memory' })
    expect(await third.operations.keys.list()).toEqual([])
    await third.close()
  })
  it('loads nothing by request unless a folder is allowed', async () => {
    const { service, close } = await open({ state: 'memory' })
    await expect(service.loadExpert({ path: 'coder' })).rejects.toThrow('--adapter-folder')
    await close()
  })
  it.each([
    [{ adapterFolder: ['x'] }, 'Did you mean "adapterFolders"?'],
    [{ maxSeconds: 0 }, 'maxSeconds'],
    [{ adapterFolders: ['/no/such/folder'] }, 'there is no such folder'],
    [{ cors: ['app.example'] }, 'CORS'],
  ])('is not opened with %o', async (options, message) => {
    const given = Object.assign({ state: 'memory' }, options as object)
    await expect(open(given)).rejects.toThrow(message)
  })
})

/** A server on a socket, with the test routes. */
async function listen(
  options: ServeOperationOptions = {},
  environment: Record<string, string> = {},
) {
  const given = Object.assign({ state: 'memory', log: 'off' }, options)
  const opened = await open(given, environment)
  const { operations, service } = opened
  const { middleware, guards, maxBodyBytes, onFault } = operations
  const routes = [...testRoutes, ...operations.routes]
  const app = createServer({ service, middleware, guards, maxBodyBytes, onFault, routes })
  const server = createHttpServer(getRequestListener((request) => app.fetch(request)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const infer = (body: object, signal?: AbortSignal) =>
    fetch(`${address}/v1/infer`, {
      method: 'POST',
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
  return { server, address, infer, operations, close: opened.close }
}

describe('on a socket', () => {
  it('the end lets a stream end whole, refuses new requests and closes connections', async () => {
    const { server, address, infer, operations } = await listen()
    const response = await infer({ max_tokens: 60 })
    const reader = response.body!.getReader()
    await reader.read()
    const ended = endServer(server, operations.lifecycle, 10_000)
    const ready = await fetch(`${address}/readyz`)
    expect([ready.status, ready.headers.get('connection')]).toEqual([503, 'close'])
    const refused = await infer({})
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    let text = 'x'
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += new TextDecoder().decode(part.value)
    expect(text).toBe('x'.repeat(60))
    expect(await ended).toEqual({ isWhole: true, cutRequests: 0 })
    await expect(fetch(`${address}/healthz`)).rejects.toThrow('fetch failed')
  })
  it('the end cuts off what takes longer than its limit', async () => {
    const { server, infer, operations } = await listen()
    const response = await infer({ max_tokens: 100_000 })
    const ended = endServer(server, operations.lifecycle, 30)
    await expect(response.text()).rejects.toThrow('terminated')
    expect(await ended).toEqual({ isWhole: false, cutRequests: 1 })
  })
  it('row 121: a client that goes away is counted once and frees its place', async () => {
    const { server, address, infer, operations } = await listen({ maxRequests: 1 })
    const controller = new AbortController()
    const response = await infer({ max_tokens: 100_000 }, controller.signal)
    const reader = response.body!.getReader()
    await reader.read()
    expect((await infer({})).status).toBe(429)
    controller.abort()
    await expect.poll(() => operations.lifecycle.openRequests).toBe(0)
    expect((await infer({ max_tokens: 1 })).status).toBe(200)
    const text = await (await fetch(`${address}/metrics`)).text()
    expect(text).toContain('vllm:http_requests_client_disconnected_total{model_name="tiny"} 1')
    expect(text).toMatch(/process_resident_memory_bytes \d{7}/)
    await endServer(server, operations.lifecycle, 1000)
  })
  it('a body in pieces without a length is refused before it is whole', async () => {
    const { server, address, operations } = await listen({ maxBodyBytes: 2048 })
    const status = await new Promise((resolve, reject) => {
      const request = requestHttp(`${address}/v1/infer`, { method: 'POST' }, (response) => {
        resolve(response.statusCode)
        request.destroy()
      })
      request.on('error', reject)
      for (let i = 0; i < 10; i++) request.write('x'.repeat(1000))
    })
    expect(status).toBe(413)
    await endServer(server, operations.lifecycle, 1000)
  })
})

describe('row 116: on a socket with keys no way of writing a request is a way in', () => {
  let server: Awaited<ReturnType<typeof listen>>
  beforeAll(async () => {
    server = await listen({ host: '0.0.0.0', withoutKeys: true })
    await server.operations.keys.add({ name: 'ci' })
  })
  afterAll(async () => {
    await endServer(server.server, server.operations.lifecycle, 1000)
    await server.close()
  })
  /** The status of a request whose first line is written as it is. */
  const send = (line: string, host = 'localhost'): Promise<string> =>
    new Promise((resolve) => {
      let answer = ''
      const socket = connect(Number(new URL(server.address).port), '127.0.0.1')
      socket.on('data', (chunk) => (answer += String(chunk)))
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(answer))
      socket.write(
        `${line} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      )
    })
  it.each([
    'POST /v1/infer',
    'POST /v1/infer/',
    'POST //v1/infer',
    'POST /v1//infer',
    'POST /./v1/infer',
    'POST /healthz/../v1/infer',
    'POST /healthz/%2e%2e/v1/infer',
    'POST /healthz/%2E%2E/v1/infer',
    'POST /healthz/..%2Fv1/infer',
    'POST /healthz\\..\\v1\\infer',
    'POST /v1/infer#/healthz',
    'POST /v1/infer?/healthz',
    'POST /v1/inf%65r',
    'POST /V1/Infer',
    'POST http://localhost/v1/infer',
    'POST http://healthz/v1/infer',
    'GET /metrics',
    'GET /m%65trics',
    'GET //metrics',
    'GET http://localhost/metrics',
    'HEAD /metrics',
    'OPTIONS /v1/infer',
    'OPTIONS *',
  ])('%s', async (line) => expect(await send(line)).toMatch(/^HTTP\/1.1 (401|400) /))
  it.each(['a/healthz', 'localhost/healthz?', 'healthz', 'localhost#/healthz'])(
    'nor the host %s',
    async (host) => expect(await send('POST /v1/infer', host)).toMatch(/^HTTP\/1.1 (401|400) /),
  )
  it('and health stays open', async () =>
    expect(await send('GET /healthz')).toMatch(/^HTTP\/1.1 200 /))
})

it('a log that cannot be written is reported once, and requests continue', async () => {
  const log = join(folder, 'log-folder')
  await mkdir(log)
  const { server, infer, operations, close } = await listen({ log })
  for (let i = 0; i < 3; i++) expect((await infer({ max_tokens: 1 })).status).toBe(200)
  await endServer(server, operations.lifecycle, 1000)
  await close()
})

it('spans reach the collector of OTEL_EXPORTER_OTLP_ENDPOINT', async () => {
  const posts: { path: string | undefined; header: unknown; body: string }[] = []
  const collector = createHttpServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      posts.push({ path: request.url, header: request.headers['x-token'], body })
      response.end('{}')
    })
  })
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as AddressInfo
  const { server, infer, operations, close } = await listen(
    {},
    {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-token=abc',
      OTEL_SERVICE_NAME: 'tested',
    },
  )
  await (await infer({ max_tokens: 2 })).text()
  await endServer(server, operations.lifecycle, 1000)
  await close()
  collector.close()
  collector.closeAllConnections()
  expect(posts.map(({ path, header }) => [path, header])).toEqual([['/v1/traces', 'abc']])
  const { resourceSpans } = JSON.parse(posts[0]!.body)
  expect(resourceSpans[0].resource.attributes).toEqual([
    { key: 'service.name', value: { stringValue: 'tested' } },
  ])
  expect(resourceSpans[0].scopeSpans[0].spans).toHaveLength(2)
})

it('a log file gets a line a request', async () => {
  const log = join(folder, 'requests.log')
  await writeFile(log, 'before\n')
  const { server, infer, operations, close } = await listen({ log })
  await (await infer({ max_tokens: 2 })).text()
  await endServer(server, operations.lifecycle, 1000)
  await close()
  const lines = (await readFile(log, 'utf8')).trim().split('\n')
  expect(lines[0]).toBe('before')
  expect(JSON.parse(lines[1]!)).toMatchObject({ event: 'request', completion_tokens: 2 })
})
