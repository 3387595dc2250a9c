// Downloads one file from a web server as a stream with a maximum length. A redirect to an address
// of the local network is refused. The check is at the connection, so that a second DNS answer
// cannot bypass it.

import { lookup as lookUp, type LookupAddress } from 'node:dns'
import { type IncomingMessage, request as requestHttp, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { FormatError, GraftError, NotFoundError, OptionError } from '../../../base/errors.ts'
import { quoteName } from '../../../formats/quote.ts'
import { describeError } from '../../files/system-errors.ts'
import { isPrivateAddress } from './private-address.ts'

export interface GetOptions {
  /** Redirects may lead to addresses of the local network. */
  readonly allowPrivate?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Without a byte from the server. Default 30,000. */
  readonly stallMs?: number | undefined
}

const mostRedirects = 5
const defaultStallMs = 30_000

/**
 * The bytes of an address, at most `maxBytes`. Throws NotFoundError if the server does not return
 * them, FormatError if there are more, OptionError for a redirect to a forbidden address.
 */
export async function* getBytes(
  url: URL,
  maxBytes: number,
  options: GetOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const name = describeUrl(url)
  const response = await openResponse(url, options)
  const length = Number(response.headers['content-length'] ?? 0)
  const encoding = response.headers['content-encoding'] ?? 'identity'
  try {
    if (encoding !== 'identity')
      throw new FormatError(
        `${name}: came as ${quoteName(encoding)}, expected no content encoding.`,
      )
    if (length > maxBytes) throw createTooLongError(name, maxBytes, length)
    let received = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      received += chunk.length
      if (received > maxBytes) throw createTooLongError(name, maxBytes)
      yield chunk
    }
    if (!response.complete || received < length) throw new Error(`it ended after ${received} bytes`)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw toGetError(name, error)
  } finally {
    response.destroy()
  }
}

export const createTooLongError = (name: string, maxBytes: number, got?: number): FormatError =>
  new FormatError(
    `${name}: has ${got === undefined ? 'more bytes' : `${got} bytes`}, expected at most ${maxBytes}.`,
  )

const toGetError = (name: string, cause: unknown): GraftError =>
  GraftError.isInstance(cause)
    ? (cause as GraftError)
    : new NotFoundError(`${name}: cannot be fetched: ${describeError(cause)}.`, { cause })

/** Without a password and a query, which may be a secret. */
export const describeUrl = (url: URL): string => `${url.origin}${url.pathname}`

/** The response after all redirects. */
async function openResponse(url: URL, options: GetOptions): Promise<IncomingMessage> {
  let at = url
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const response = await startRequest(at, url, options).catch((error: unknown) => {
      options.signal?.throwIfAborted()
      throw toGetError(describeUrl(at), error)
    })
    const { statusCode = 0, statusMessage = '', headers } = response
    if (statusCode === 200) return response
    response.destroy()
    if (![301, 302, 303, 307, 308].includes(statusCode))
      throw new NotFoundError(
        `${describeUrl(at)}: the server answered ${statusCode} ${statusMessage}.`,
      )
    at = resolveRedirect(headers.location, at)
  }
  throw new NotFoundError(
    `${describeUrl(url)}: leads through more than ${mostRedirects} redirects.`,
  )
}

function resolveRedirect(location: string | undefined, from: URL): URL {
  const to = URL.parse(location ?? '', from.href)
  if (location === undefined || !to)
    throw new FormatError(`${describeUrl(from)}: redirects to no address.`)
  if (to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:')) return to
  throw new OptionError(
    `${describeUrl(from)}: redirects to ${quoteName(describeUrl(to))}; from https it may lead to https alone.`,
  )
}

function startRequest(url: URL, first: URL, options: GetOptions): Promise<IncomingMessage> {
  const { allowPrivate = false, signal, stallMs = defaultStallMs } = options
  const isChecked = !allowPrivate && url.origin !== first.origin
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isChecked && isIP(host) !== 0 && isPrivateAddress(host)) throw createPrivateError(url, host)
  const settings: RequestOptions = {
    headers: { 'accept-encoding': 'identity' },
    timeout: stallMs,
    ...(signal && { signal }),
    ...(isChecked && { lookup: createCheckedLookup(url) }),
  }
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp
    const request = send(url, settings, resolve)
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${stallMs / 1000} s`)))
    request.on('error', reject)
    request.end()
  })
}

/** Node's lookup, which also refuses addresses that a redirect must not lead to. */
function createCheckedLookup(url: URL): LookupFunction {
  return (hostname, { all = false, ...settings }, callback) =>
    lookUp(hostname, { ...settings, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, '', 0)
      const wrong = addresses.find(({ address }) => isPrivateAddress(address))
      if (wrong) return callback(createPrivateError(url, wrong.address), '', 0)
      if (all) return callback(null, addresses)
      callback(null, addresses[0]!.address, addresses[0]!.family)
    })
}

const createPrivateError = (url: URL, address: string): OptionError =>
  new OptionError(
    `${describeUrl(url)}: a redirect leads to ${address}, an address of this machine or its network, which a server elsewhere must not reach. Name that server itself, or allow it (--allow-private; in a program: allowPrivate).`,
  )
