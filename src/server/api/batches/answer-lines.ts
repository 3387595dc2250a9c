// Answers the requests of a batch, several at a time, and passes each result on when it is ready. A
// request that a rate limit refuses is sent again.

import { isRecord } from '../../../base/schema.ts'
import type { BatchAnswer, BatchRequest, BatchResult } from './batch-lines.ts'
import { toResult, toUnanswered } from './batch-lines.ts'

/** Sends one request to the server's own routes. */
export type AskRoute = (
  request: BatchRequest,
  signal: AbortSignal,
) => Promise<BatchAnswer & { readonly retryAfterSeconds?: number | undefined }>

/** The server's `fetch`; `env`: values that a program passes with the request. */
export const createAsk =
  (fetch: (request: Request, env?: object) => Promise<Response>, env: object = {}): AskRoute =>
  async ({ url, body }, signal) => {
    const request = new Request(`http://localhost${url}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    })
    const response = await fetch(request, env)
    const text = await response.text()
    signal.throwIfAborted() // the body of an answer that was abandoned is empty
    const retryAfter = response.headers.get('retry-after')
    return {
      status: response.status,
      requestId: response.headers.get('x-request-id') ?? '',
      body: isJson(response) ? JSON.parse(text) : text,
      retryAfterSeconds: retryAfter === null ? undefined : Number(retryAfter),
    }
  }

const isJson = ({ headers }: Response): boolean =>
  headers.get('content-type')?.includes('json') === true

/** Lets a number of callers in at a time, first come, first served. */
export class Turnstile {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  async enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((enter) => this.#waiting.push(enter))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

export interface AnswerLinesParts {
  readonly ask: AskRoute
  /** Shared by all batches of a server, so that each makes progress. */
  readonly turnstile: Turnstile
  /** Requests of this batch that wait or run at a time. */
  readonly atATime: number
  readonly createId: () => string
  readonly signal: AbortSignal
  /** Receives each result, in the order in which they finish. */
  readonly onResult: (result: BatchResult) => Promise<void>
}

/**
 * Resolves when all requests are answered. Rejects when the signal aborts, or when a request or
 * `onResult` throws; running requests have ended by then.
 */
export async function answerLines(
  requests: AsyncIterable<BatchRequest>,
  parts: AnswerLinesParts,
): Promise<void> {
  const failing = new AbortController()
  const signal = AbortSignal.any([parts.signal, failing.signal])
  const iterator = requests[Symbol.asyncIterator]()
  const work = async (): Promise<void> => {
    for (;;) {
      signal.throwIfAborted()
      const { value, done } = await iterator.next()
      if (done) return
      await answerLine(value, Object.assign({}, parts, { signal }))
    }
  }
  const workers = Array.from({ length: parts.atATime }, () =>
    work().catch((error: unknown) => {
      failing.abort(error)
      throw error
    }),
  )
  const ends = await Promise.allSettled(workers)
  await iterator.return?.()
  parts.signal.throwIfAborted()
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed) throw failing.signal.reason ?? failed.reason
}

async function answerLine(request: BatchRequest, parts: AnswerLinesParts): Promise<void> {
  const { turnstile, ask, signal, createId, onResult } = parts
  for (;;) {
    await turnstile.enter()
    let answer: Awaited<ReturnType<AskRoute>>
    try {
      signal.throwIfAborted()
      answer = await ask(request, signal)
    } catch (error) {
      signal.throwIfAborted()
      const { customId } = request
      await onResult(toUnanswered(createId(), customId, 'request_failed', String(error)))
      return
    } finally {
      turnstile.leave()
    }
    if (!isRefusedForNow(answer)) {
      await onResult(toResult(createId(), request.customId, answer))
      return
    }
    await waitFor((answer.retryAfterSeconds ?? 1) * 1000, signal)
  }
}

/** A limit that lifts with time. A limit that this request can never meet has no time. */
const isRefusedForNow = ({ status, body, retryAfterSeconds }: Awaited<ReturnType<AskRoute>>) =>
  (status === 429 || status === 503) && retryAfterSeconds !== undefined && isRecord(body)

const waitFor = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', leave)
      resolve()
    }, ms)
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave, { once: true })
  })
