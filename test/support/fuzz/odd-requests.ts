// Requests to all routes of a server: valid ones, nearly valid ones and hostile ones, from a seed.

import { random as createRandom, type Random } from '../../../src/base/random.ts'
import type { Route } from '../../../src/server/route.ts'
import { createSound, makeOdd, pick } from './odd-values.ts'

export interface OddRequest {
  readonly kind: 'valid' | 'nearly valid' | 'hostile'
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer> | undefined
  /** The client goes away: before the answer, or after its first bytes. */
  readonly leaves: 'never' | 'at once' | 'later'
}

const pathParts = [
  'coder',
  'nobody',
  'a/b',
  '%2e%2e',
  '..',
  '%00',
  '%ff',
  '%',
  '😀',
  'x'.repeat(500),
  '',
]

const fillPath = (random: Random, path: string): string =>
  path.replaceAll(/\{\w+\}/g, () => (random.integer(2) === 0 ? 'coder' : pick(random, pathParts)))

function createBody(random: Random, { body }: Route): Record<string, unknown> {
  const { fields = {}, required = [], refused = {} } = body ?? {}
  const given: Record<string, unknown> = {}
  for (const [name, { schema }] of Object.entries(fields)) {
    const isUsual =
      required.includes(name) || ['model', 'messages', 'prompt', 'input'].includes(name)
    if (isUsual ? random.integer(20) > 0 : random.integer(10) === 0)
      given[name] = createSound(random, name, schema)
  }
  const names = Object.keys(refused)
  if (names.length > 0 && random.integer(12) === 0)
    given[pick(random, names)] = pick<unknown>(random, [null, false, true, 1, 'x'])
  return given
}

const spoilText = (random: Random, text: string): string =>
  pick<() => string>(random, [
    () => text.slice(0, random.integer(text.length + 1)),
    () => `${text}${text}`,
    () => text.replace(/\d+/, '1e999'),
    () => text.replace('{', '{"__proto__":{"x":1},'),
    () => '['.repeat(random.integer(100_000)),
    () => '{"a":'.repeat(5000),
    () => text.replaceAll('"', "'"),
    () => `\ufeff${text}`,
    () => `${text.slice(0, -1)},"model":"coder","model":1}`,
    () => pick(random, ['', ' ', 'null', '42', '"text"', '[]', 'NaN', '{}', '\u0000']),
  ])()

const spoilPath = (random: Random, path: string): string =>
  pick<() => string>(random, [
    () => `${path}/`,
    () => `/${path}`,
    () => path.toUpperCase(),
    () => path.replace('/v1', '/v1/../v1'),
    () => path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
    () => `${path}?${'a'.repeat(random.integer(5000))}=%ff&from=x`,
    () => `${path}%00`,
    () => `/${'a/'.repeat(random.integer(500))}`,
    () => `/healthz/%2e%2e${path}`,
  ])()

const oddHeaders: readonly Readonly<Record<string, string>>[] = [
  { 'content-type': 'text/plain' },
  { 'content-type': 'application/x-www-form-urlencoded' },
  { 'content-type': 'multipart/form-data; boundary=x' },
  { 'content-length': '5' },
  { 'content-length': '-1' },
  { 'content-length': 'x' },
  { authorization: 'Bearer x' },
  { authorization: `Bearer ${'x'.repeat(5000)}` },
  { 'x-api-key': '' },
  { origin: 'https://evil.example' },
  { origin: 'null' },
  { 'x-request-id': 'a"b' },
  { 'x-request-id': 'x'.repeat(1000) },
  { traceparent: '00-x-y-z' },
  { accept: 'text/event-stream' },
  { range: 'bytes=0-1' },
  { 'content-encoding': 'gzip' },
  { expect: '100-continue' },
]

const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'PROPFIND', 'x']

export function* createOddRequests(
  routes: readonly Route[],
  count: number,
  seed: number,
): Generator<OddRequest> {
  const random = createRandom(seed)
  for (let i = 0; i < count; i++) yield createOddRequest(random, pick(random, routes))
}

function createOddRequest(random: Random, route: Route): OddRequest {
  const kind = pick(random, ['valid', 'nearly valid', 'nearly valid', 'hostile'] as const)
  const hasBody = route.method !== 'GET'
  const value = createBody(random, route)
  const leaves = pick(random, ['never', 'never', 'never', 'never', 'at once', 'later'] as const)
  const sound = {
    kind,
    method: route.method,
    path:
      kind === 'valid' ? route.path.replaceAll(/\{\w+\}/g, 'coder') : fillPath(random, route.path),
    headers: hasBody ? { 'content-type': 'application/json' } : {},
    leaves,
  }
  const text = JSON.stringify(kind === 'nearly valid' ? makeOdd(random, value) : value)
  if (kind !== 'hostile') return Object.assign(sound, { body: hasBody ? text : undefined })
  const method = random.integer(3) === 0 ? pick(random, methods) : route.method
  const takesBody = !['GET', 'HEAD'].includes(method)
  const bytes = (): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length: random.integer(2000) }, () => random.integer(256))
  const spoilt = random.integer(4) === 0 ? bytes() : spoilText(random, text)
  return {
    kind,
    method,
    path: random.integer(3) === 0 ? spoilPath(random, sound.path) : sound.path,
    headers: random.integer(2) === 0 ? pick(random, oddHeaders) : {},
    body: takesBody ? (random.integer(3) === 0 ? text : spoilt) : undefined,
    leaves,
  }
}
