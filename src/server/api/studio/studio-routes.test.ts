import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { createServer } from '../../app.ts'
import type { Service } from '../../service.ts'
import type { ByteFolder } from '../../../formats/byte-source.ts'
import { createMemorySource } from '../../../formats/memory-source.ts'
import { createStudioRoutes, type StudioOptions } from './studio-routes.ts'

const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const createFolder = (files: Record<string, Uint8Array>): ByteFolder => ({
  name: 'memory',
  open: async (path) => files[path] && createMemorySource(path, files[path]),
})
const html = '<html lang="en" data-model="./models/stories260k/" data-note="">'
const options: StudioOptions = {
  page: createFolder({
    'index.html.gz': gzipSync(html),
    'assets/a-1.js.gz': gzipSync('let a'),
    'secret.txt': toBytes('no'),
  }),
  folders: { 'ort/': createFolder({ 'ort.wasm': toBytes('0123456789') }) },
  findServed: async () => ({
    id: 'abc',
    place: 'tiny/',
    open: async (path) =>
      path === 'tiny/config.json' ? createMemorySource(path, toBytes('{}')) : undefined,
  }),
  needsKey: async () => false,
}
const ask = (path: string, headers: Record<string, string> = {}, other = {}): Promise<Response> => {
  const routes = createStudioRoutes(Object.assign({}, options, other))
  const server = createServer({ service: {} as Service, routes })
  return server.fetch(new Request(`http://graft${path}`, { headers }))
}

describe('Studio’s routes', () => {
  it('lead to the page, which names the base that is served', async () => {
    const led = await ask('/studio')
    expect([led.status, led.headers.get('location')]).toEqual([307, 'studio/'])
    const page = await ask('/studio/')
    expect(await page.text()).toBe(html.replace('./models/stories260k/', './served/abc/tiny/'))
    expect(page.headers.get('content-security-policy')).toMatch(
      /default-src 'self'.*frame-ancestors 'none'/,
    )
    expect(page.headers.get('cross-origin-embedder-policy')).toBe('require-corp')
  })
  it('leave the page as it is without a base, and say why where keys are needed', async () => {
    expect(await (await ask('/studio/', {}, { findServed: async () => undefined })).text()).toBe(
      html,
    )
    const keyed = await (await ask('/studio/', {}, { needsKey: async () => true })).text()
    expect(keyed).toMatch(/data-model="\.\/models\/stories260k\/" data-note="This server gives/)
  })
  it('send files as they are packed, unpacked to clients that cannot', async () => {
    const packed = await ask('/studio/assets/a-1.js', { 'accept-encoding': 'br, gzip' })
    expect(packed.headers.get('content-encoding')).toBe('gzip')
    expect(Buffer.from(await packed.arrayBuffer())).toEqual(gzipSync('let a'))
    const plain = await ask('/studio/assets/a-1.js')
    expect([plain.headers.get('content-encoding'), await plain.text()]).toEqual([null, 'let a'])
    expect(plain.headers.get('content-type')).toMatch(/javascript/)
  })
  it.each([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=8-', 206, '89', 'bytes 8-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=1-2,5-6', 200, '0123456789', null],
    ['bytes=5-2', 200, '0123456789', null],
  ])('answer %s with %i', async (range, status, text, contentRange) => {
    const part = await ask('/studio/ort/ort.wasm', { range })
    expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([
      status,
      text,
      contentRange,
    ])
  })
  it.each([
    '/studio/secret.txt',
    '/studio/none.js',
    '/studio/ort/..%2fsecret.txt',
    '/studio/ort/.hidden',
    '/studio/served/abc/tiny/other.json',
    '/studio/served/old/tiny/config.json',
  ])('have no %s', async (path) => {
    expect((await ask(path)).status).toBe(404)
  })
  it('send the base’s own files', async () => {
    const file = await ask('/studio/served/abc/tiny/config.json')
    expect([file.status, await file.text(), file.headers.get('etag')]).toEqual([200, '{}', '"abc"'])
  })
})
