// Which browser pages may use the server: CORS by a list of origins, and, if no key is needed,
// protection from other pages that the user visits.
// https://fetch.spec.whatwg.org/#http-cors-protocol

import { OptionError } from '../../base/errors.ts'
import { RequestError } from '../request-error.ts'
import type { Middleware } from '../route.ts'

export interface OriginOptions {
  /** Origins such as `https://app.example.com`, or `*` for all. */
  readonly origins: readonly string[]
  /** Whether requests need no key now, and come from this machine only. */
  readonly isOpenOnLoopback: () => Promise<boolean>
}

const methods = 'GET, POST, PUT, DELETE, OPTIONS'
const exposed = [
  'x-request-id',
  'retry-after',
  'x-should-retry',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [
    `x-ratelimit-${what}-requests`,
    `x-ratelimit-${what}-tokens`,
  ]),
].join(', ')
const preflightSeconds = 600

/** Throws OptionError for an invalid origin: a path, a missing scheme. */
export function checkOrigins(origins: readonly string[]): void {
  for (const origin of origins) {
    if (origin === '*') continue
    const isOrigin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s@*]+$/i.test(origin)
    if (!isOrigin)
      throw new OptionError(
        `CORS: got ${JSON.stringify(origin)}, expected an origin such as "https://app.example.com", without a path, or "*".`,
      )
  }
}

export function createOriginCheck({ origins, isOpenOnLoopback }: OriginOptions): Middleware {
  checkOrigins(origins)
  const allowed = new Set(origins.map((origin) => origin.toLowerCase()))
  const isAllowed = (origin: string): boolean =>
    allowed.has('*') || allowed.has(origin.toLowerCase())
  return async (context, next) => {
    const { req } = context
    const origin = req.header('origin')
    const isPreflight =
      req.method === 'OPTIONS' && req.header('access-control-request-method') !== undefined
    if (origin !== undefined && isPreflight) {
      if (!isAllowed(origin)) throw refuseOrigin(origin)
      return answerPreflight(allowed.has('*') ? '*' : origin, req.header.bind(req))
    }
    if (await isOpenOnLoopback()) checkPage(req.url, origin, isAllowed)
    await next()
    if (allowed.size > 0) context.res.headers.append('Vary', 'Origin')
    if (origin === undefined || !isAllowed(origin)) return undefined
    context.res.headers.set('Access-Control-Allow-Origin', allowed.has('*') ? '*' : origin)
    context.res.headers.set('Access-Control-Expose-Headers', exposed)
    return undefined
  }
}

/** Status 200 without a body, with what the browser may do next. */
function answerPreflight(
  origin: string,
  readHeader: (name: string) => string | undefined,
): Response {
  const wanted = readHeader('access-control-request-headers') ?? ''
  const names = wanted.split(',').map((name) => name.trim())
  const headers = new Headers({
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Allow-Methods': methods,
    'Access-Control-Allow-Headers': names.filter((name) => /^[\w-]{1,64}$/.test(name)).join(', '),
    'Access-Control-Max-Age': String(preflightSeconds),
    Vary: 'Origin, Access-Control-Request-Headers',
  })
  if (readHeader('access-control-request-private-network') === 'true')
    headers.set('Access-Control-Allow-Private-Network', 'true')
  return new Response(null, { status: 200, headers })
}

/**
 * A page of another site can send requests to this machine without CORS, and its own domain can
 * resolve to 127.0.0.1 (DNS rebinding). Without keys nothing else would stop it.
 */
function checkPage(
  url: string,
  origin: string | undefined,
  isAllowed: (origin: string) => boolean,
): void {
  const { host, hostname } = readHost(url)
  if (!isLoopbackName(hostname))
    throw new RequestError(
      `The host ${JSON.stringify(hostname.slice(0, 100))} is not this machine. Without keys the server answers to localhost only: make a key with graft serve keys add.`,
      { status: 403, code: 'host_not_allowed' },
    )
  if (origin === undefined || isAllowed(origin) || origin === `http://${host}`) return
  if (/^(https?:|null$)/i.test(origin)) throw refuseOrigin(origin)
}

const refuseOrigin = (origin: string): RequestError =>
  new RequestError(
    `Pages of ${JSON.stringify(origin.slice(0, 100))} may not use this server. Its operator allows them with --cors.`,
    { status: 403, code: 'origin_not_allowed' },
  )

function readHost(url: string): { host: string; hostname: string } {
  const { host } = new URL(url)
  return { host, hostname: host.replace(/:\d+$/, '') }
}

/** Whether a name means this machine, independent of the resolver. */
export const isLoopbackName = (name: string): boolean =>
  /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(name)
