// Access: keys, scopes, ways around them that must fail, and pages of browsers.

import { describe, expect, it } from 'vitest'
import type { KeyScope } from '../keys/api-key.ts'
import { createTestServer } from './testing.ts'

async function createClosedServer(scopes: readonly KeyScope[] = ['infer']) {
  const test = createTestServer({ keyless: 'nobody' })
  const { text: key } = await test.operations.keys.add({ name: 'ci', scopes })
  return Object.assign(test, { key })
}

describe('row 115: a request without a key', () => {
  it.each([
    ['POST', '/v1/infer'],
    ['GET', '/v1/infer'],
    ['HEAD', '/v1/infer'],
    ['OPTIONS', '/v1/infer'],
    ['PATCH', '/v1/infer'],
    ['GET', '/metrics'],
    ['GET', '/v1/usage'],
    ['GET', '/unknown'],
    ['GET', '/'],
    // row 116: other ways to write a path
    ['POST', '/v1/infer/'],
    ['POST', '//v1/infer'],
    ['POST', '/v1//infer'],
    ['POST', '/v1/./infer'],
    ['POST', '/v1/%69nfer'],
    ['POST', '/V1/INFER'],
    ['POST', '/healthz/../v1/infer'],
    ['POST', '/healthz/%2e%2e/v1/infer'],
    ['POST', '/healthz/..%2fv1/infer'],
    ['POST', '/healthz%2f..%2fv1%2finfer'],
    ['POST', '/v1/infer?x=/healthz'],
    ['POST', '/v1/infer;/healthz'],
    ['POST', '/v1/infer%00'],
    ['GET', '/metrics/'],
    ['GET', '/%6detrics'],
    ['GET', '/METRICS'],
    ['GET', '//metrics'],
    ['GET', '/healthz/'],
    ['GET', '/v1/%ff'],
  ])('%s %s is 401', async (method, path) => {
    const { ask } = await createClosedServer()
    const { status, error, headers } = await ask(path, { method })
    expect(status).toBe(401)
    expect(error?.type).toBe(method === 'HEAD' ? undefined : 'authentication_error')
    expect(headers.get('x-request-id')).toMatch(/^req_/)
  })
  it.each(['/healthz', '/readyz'])('to %s is answered', async (path) => {
    const { ask } = await createClosedServer()
    expect((await ask(path)).status).toBe(200)
  })
})

describe('a key', () => {
  it('is taken from Authorization or X-Api-Key', async () => {
    const { ask, key } = await createClosedServer()
    const body = { method: 'POST', body: '{}' }
    const headers = [
      { authorization: `Bearer ${key}` },
      { authorization: `bearer  ${key} ` },
      { 'x-api-key': key },
    ]
    for (const one of headers)
      expect((await ask('/v1/infer', { ...body, headers: one })).status).toBe(200)
  })
  it.each([
    ['unknown', (key: string) => ({ authorization: `Bearer ${key.slice(0, -1)}` })],
    ['empty', () => ({ authorization: 'Bearer ' })],
    ['of another scheme', (key: string) => ({ authorization: `Basic ${key}` })],
    ['with words after it', (key: string) => ({ authorization: `Bearer ${key} x` })],
    ['in another case', (key: string) => ({ 'x-api-key': key.toUpperCase() })],
    ['of a megabyte', () => ({ 'x-api-key': 'a'.repeat(1_000_000) })],
  ])('%s is 401', async (_, headers) => {
    const { ask, key } = await createClosedServer()
    const { status, error } = await ask('/v1/infer', {
      method: 'POST',
      body: '{}',
      headers: headers(key),
    })
    expect([status, error.type]).toEqual([401, 'authentication_error'])
  })
  it('that was revoked is 401 at once', async () => {
    const { infer, key, operations } = await createClosedServer()
    expect((await infer({}, key)).status).toBe(200)
    await operations.keys.revoke('ci')
    expect((await infer({}, key)).status).toBe(401)
  })
})

describe('scopes', () => {
  const routes = [
    ['infer', 'POST', '/v1/infer'],
    ['feedback', 'POST', '/v1/feedback-test'],
    ['train', 'POST', '/v1/train-test'],
    ['admin', 'POST', '/v1/admin-test'],
    ['admin', 'GET', '/metrics'],
    ['admin', 'GET', '/v1/usage'],
  ] as const
  const cases = routes.flatMap(([scope, method, path]) =>
    (['infer', 'feedback', 'train', 'admin'] as const).map(
      (given) => [given, method, path, given === scope || given === 'admin' ? 200 : 403] as const,
    ),
  )
  it.each(cases)('%s: %s %s is %i', async (scope, method, path, expected) => {
    const { ask, key } = await createClosedServer([scope])
    const { status, error } = await ask(path, {
      method,
      key,
      ...(method === 'POST' && { body: '{}' }),
    })
    expect(status).toBe(expected)
    expect(error?.type).toBe(expected === 403 ? 'permission_error' : undefined)
  })
  it('hold for other methods of a path too', async () => {
    const { ask, key } = await createClosedServer(['infer'])
    expect((await ask('/v1/admin-test', { method: 'DELETE', key })).status).toBe(403)
    expect((await ask('/v1/infer', { method: 'DELETE', key })).status).toBe(405)
    expect((await ask('/unknown', { key })).status).toBe(404)
  })
})

describe('without any key', () => {
  it('no request is accepted unless the server allows it', async () => {
    const { infer } = createTestServer({ keyless: 'nobody' })
    expect((await infer()).status).toBe(401)
  })
  it('a server of this machine is open, until a key is made', async () => {
    const { infer, operations } = createTestServer({ keyless: 'loopback' })
    expect((await infer()).status).toBe(200)
    await operations.keys.add({ name: 'ci' })
    expect((await infer()).status).toBe(401)
    await operations.keys.revoke('ci')
    expect((await infer()).status).toBe(401)
  })
  it.each([
    ['http://localhost:8080', 200],
    ['http://127.0.0.1:8080', 200],
    ['http://[::1]:8080', 200],
    ['http://app.localhost:8080', 200],
    ['http://evil.example:8080', 403], // DNS rebinding
    ['http://localhost.evil.example', 403],
    ['http://169.254.169.254', 403],
  ])('a server of this machine answers the host of %s with %i', async (host, expected) => {
    const { ask } = createTestServer({ keyless: 'loopback' })
    expect((await ask(`${host}/v1/infer`, { method: 'POST', body: '{}' })).status).toBe(expected)
  })
  it.each([
    ['http://localhost:8080', 200],
    ['https://evil.example', 403],
    ['http://localhost:3000', 403],
    ['null', 403],
    ['app://obsidian.md', 200],
  ])('a page of %s is answered with %i', async (origin, expected) => {
    const { ask } = createTestServer({ keyless: 'loopback' })
    const init = { method: 'POST', body: '{}', headers: { origin } }
    expect((await ask('/v1/infer', init)).status).toBe(expected)
  })
})

describe('row 116: CORS', () => {
  const preflight = (origin: string) => ({
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type, x-stainless-os, bad name',
    },
  })
  const cors = ['https://app.example']
  it('answers a pre-flight without a key: 200, headers, no data', async () => {
    const { ask } = createTestServer({ keyless: 'nobody', cors })
    const { status, headers, text } = await ask('/v1/infer', preflight('https://app.example'))
    expect([status, text]).toEqual([200, ''])
    expect(headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(headers.get('access-control-allow-methods')).toContain('POST')
    expect(headers.get('access-control-allow-headers')).toBe(
      'authorization, content-type, x-stainless-os',
    )
    expect(headers.get('access-control-allow-credentials')).toBeNull()
    expect(headers.get('vary')).toContain('Origin')
  })
  it.each(['https://evil.example', 'https://app.example.evil', 'http://app.example', 'null'])(
    'refuses a pre-flight of %s',
    async (origin) => {
      const { ask } = createTestServer({ keyless: 'nobody', cors })
      const { status, headers } = await ask('/v1/infer', preflight(origin))
      expect(status).toBe(403)
      expect(headers.get('access-control-allow-origin')).toBeNull()
    },
  )
  it('marks answers for listed origins, errors too, and no others', async () => {
    const { ask } = createTestServer({ keyless: 'nobody', cors })
    const of = async (origin: string) =>
      (await ask('/v1/infer', { method: 'POST', headers: { origin } })).headers
    expect((await of('https://app.example')).get('access-control-allow-origin')).toBe(
      'https://app.example',
    )
    expect((await of('https://app.example')).get('access-control-expose-headers')).toContain(
      'x-request-id',
    )
    expect((await of('https://evil.example')).get('access-control-allow-origin')).toBeNull()
  })
  it('allows all with *', async () => {
    const { ask } = createTestServer({ cors: ['*'] })
    const { headers } = await ask('/v1/infer', preflight('https://any.example'))
    expect(headers.get('access-control-allow-origin')).toBe('*')
  })
  it('without a list allows no page', async () => {
    const { ask } = createTestServer()
    expect((await ask('/v1/infer', preflight('https://app.example'))).status).toBe(403)
  })
  it.each(['app.example', 'https://app.example/', 'https://*.example', ''])(
    'refuses the list entry %j',
    (origin) => expect(() => createTestServer({ cors: [origin] })).toThrow('CORS'),
  )
})
