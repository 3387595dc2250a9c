// A proxy with OpenAI's API: passes each request to a teacher and its answer back unchanged, and
// records the call as a row for training. An error in recording never reaches the client.

import { isRecord } from '../../base/schema.ts'
import { createErrorResponse } from '../error-response.ts'
import { RequestError } from '../request-error.ts'
import { type CapturedRow, toCapturedRows } from './captured-row.ts'
import { createStreamReader, mostAnswerBytes } from './read-stream.ts'
import type { RedactionRule } from './redaction.ts'

export interface CaptureOptions {
  /** The teacher's address, up to and including /v1. */
  readonly upstream: string
  /** Stores one row. */
  readonly write: (row: CapturedRow) => Promise<void>
  readonly rules: readonly RedactionRule[]
  /**
   * 'ask': only calls with the header `x-graft-consent: yes` are recorded; 'assume': all except
   * those with `no`, because the operator has the users' consent.
   */
  readonly consent: 'ask' | 'assume'
  /** Of the platform. Default: globalThis.fetch. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** The current time; for tests. */
  readonly now?: (() => Date) | undefined
  /** Called after each call: recorded, or the reason why not. */
  readonly onCall?: ((outcome: CaptureOutcome) => void) | undefined
  /** Larger bodies are refused. Default 8 MiB. */
  readonly maxBodyBytes?: number | undefined
}

export type CaptureOutcome =
  | { readonly type: 'kept'; readonly rows: number }
  | { readonly type: 'left-out'; readonly reason: string }
  | { readonly type: 'failed'; readonly error: unknown }

/** Headers of one connection, and those that fetch sets itself. */
const ownHeaders = [
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'content-length',
  'accept-encoding',
]
const unreadAnswer = `the answer did not end, is not JSON, or has more than ${mostAnswerBytes} bytes`
const consentHeader = 'x-graft-consent'

export interface Capture {
  fetch(request: Request): Promise<Response>
  /** Resolves when the rows of all calls that have ended are stored. */
  settle(): Promise<void>
}

export function createCapture(options: CaptureOptions): Capture {
  const { upstream, fetch: send = globalThis.fetch, maxBodyBytes = 8 * 2 ** 20 } = options
  const base = upstream.replace(/\/+$/, '')
  const pending = new Set<Promise<void>>()
  const note = (work: Promise<void>): void => {
    pending.add(work)
    void work.finally(() => pending.delete(work))
  }
  const forward = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const path = /^\/v1(\/.*)$/.exec(url.pathname)?.[1]
    if (path === undefined)
      throw new RequestError(`There is no ${url.pathname} here; every path begins with /v1/.`, {
        status: 404,
        code: 'not_found',
      })
    const body = await readBody(request, maxBodyBytes)
    const response = await sendOn(send, request, `${base}${path}${url.search}`, body)
    const isChat = request.method === 'POST' && path === '/chat/completions' && response.ok
    return isChat
      ? recordAnswer(request, body!, response, options, note)
      : copyResponse(response, response.body)
  }
  return {
    fetch: (request) => forward(request).catch((error: unknown) => createErrorResponse(error)),
    async settle() {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}

async function readBody(request: Request, mostBytes: number): Promise<Uint8Array | undefined> {
  if (!request.body) return undefined
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of request.body) {
    bytes += part.length
    if (bytes > mostBytes)
      throw new RequestError(`The body has more than ${mostBytes} bytes.`, {
        status: 413,
        code: 'body_too_large',
      })
    parts.push(part)
  }
  const body = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    body.set(part, at)
    at += part.length
  }
  return body
}

async function sendOn(
  send: typeof globalThis.fetch,
  request: Request,
  url: string,
  body: Uint8Array | undefined,
): Promise<Response> {
  const headers = new Headers(request.headers)
  for (const name of [...ownHeaders, consentHeader]) headers.delete(name)
  try {
    return await send(url, {
      method: request.method,
      headers,
      ...(body && { body: body as Uint8Array<ArrayBuffer> }),
      redirect: 'manual', // a teacher that redirects would pass the key on
      signal: request.signal,
    })
  } catch (cause) {
    if (request.signal.aborted) throw cause
    const reason = cause instanceof Error ? describeCause(cause) : String(cause)
    throw new RequestError(`The teacher cannot be reached: ${reason}.`, {
      status: 502,
      code: 'upstream_unreachable',
    })
  }
}

const describeCause = ({ message, cause }: Error): string =>
  cause instanceof Error ? `${message}: ${cause.message}` : message

function copyResponse({ status, headers: given }: Response, body: Response['body']): Response {
  const headers = new Headers(given)
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding', 'connection'])
    headers.delete(name) // fetch has decoded the body
  return new Response(body, { status, headers })
}

/** Passes the answer on as it arrives, and records it when it is complete. */
function recordAnswer(
  request: Request,
  body: Uint8Array,
  response: Response,
  options: CaptureOptions,
  note: (work: Promise<void>) => void,
): Response {
  const said = request.headers.get(consentHeader)?.trim().toLowerCase()
  const { consent, onCall } = options
  if (said === 'no' || (consent === 'ask' && said !== 'yes')) {
    onCall?.({ type: 'left-out', reason: 'no consent' })
    return copyResponse(response, response.body)
  }
  const isStream = response.headers.get('content-type')?.includes('text/event-stream') === true
  const collected = isStream ? createStreamReader() : createWholeReader()
  const keep = (): Promise<void> =>
    keepCall(body, collected.end(), said === 'yes' ? 'given' : 'assumed', options)
  const pass = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      collected.push(part)
      controller.enqueue(part)
    },
    flush: () => note(keep()),
    cancel: () =>
      onCall?.({ type: 'left-out', reason: 'the client or the teacher ended the connection' }),
  })
  return copyResponse(response, response.body ? response.body.pipeThrough(pass) : null)
}

function createWholeReader() {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  return {
    push(part: Uint8Array): void {
      bytes += part.length
      if (bytes <= mostAnswerBytes) text += decoder.decode(part, { stream: true })
    },
    end: () => (bytes > mostAnswerBytes ? undefined : parseRecord(text + decoder.decode())),
  }
}

function parseRecord(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function keepCall(
  body: Uint8Array,
  response: Readonly<Record<string, unknown>> | undefined,
  consent: 'given' | 'assumed',
  { rules, write, onCall, now = () => new Date() }: CaptureOptions,
): Promise<void> {
  try {
    const request = parseRecord(new TextDecoder().decode(body))
    if (!request || !response) return onCall?.({ type: 'left-out', reason: unreadAnswer })
    const rows = toCapturedRows({ request, response, consent, at: now().toISOString() }, rules)
    if (typeof rows === 'string') return onCall?.({ type: 'left-out', reason: rows })
    for (const row of rows) await write(row)
    onCall?.({ type: 'kept', rows: rows.length })
  } catch (error) {
    onCall?.({ type: 'failed', error })
  }
}
