// An answer as server-sent events. An error before the first event is an ordinary error response; a
// later one is a record with an error, and ends the stream. A client that disconnects ends the
// answer.

import { createErrorBody } from '../../error-response.ts'

/**
 * Milliseconds of silence after which a comment is sent, so that no proxy closes the connection.
 */
const KEEP_ALIVE_MS = 15_000

const encoder = new TextEncoder()

export interface EventStreamOptions<Event> {
  readonly events: AsyncGenerator<Event, void>
  /** The records of one event, as JSON texts or values. */
  readonly toRecords: (event: Event) => readonly unknown[]
  /** Records after the last event. */
  readonly toLastRecords: () => readonly unknown[]
  /** What ends the stream: OpenAI's `[DONE]`. */
  readonly endMark?: string
  /** How records are written. Default: `data` lines of server-sent events. */
  readonly form?: StreamForm
  /** Records of an error after the first event. Default: OpenAI's error object. */
  readonly toErrorRecords?: (error: unknown) => readonly unknown[]
  readonly keepAliveMs?: number
  /** Further headers, from the first event. */
  readonly toHeaders?: (first: Event) => Readonly<Record<string, string>>
  /** Called when the client has disconnected. */
  readonly onGone: () => void
}

export interface StreamForm {
  readonly contentType: string
  write(record: unknown): string
  /** Sent during silence; none if a client would take it for a record. */
  readonly keepAlive?: string
}

const sseType = 'text/event-stream; charset=utf-8'
const sseKeepAlive = ': keep-alive\n\n'

const dataLines: StreamForm = {
  contentType: sseType,
  write: (record) => `data: ${typeof record === 'string' ? record : JSON.stringify(record)}\n\n`,
  keepAlive: sseKeepAlive,
}

/** Server-sent events named by the record's `type`. */
export const namedEvents: StreamForm = {
  contentType: sseType,
  write: (record) =>
    `event: ${(record as { type: string }).type}\ndata: ${JSON.stringify(record)}\n\n`,
  keepAlive: sseKeepAlive,
}

/** A line of JSON for each record. */
export const jsonLines: StreamForm = {
  contentType: 'application/x-ndjson',
  write: (record) => `${JSON.stringify(record)}\n`,
}

/** Waits for the first event, so that a request that cannot be answered throws here. */
export async function createEventStream<Event>(
  options: EventStreamOptions<Event>,
): Promise<Response> {
  const first = await options.events.next()
  const body = createBody(options, first)
  return new Response(body, {
    status: 200,
    headers: {
      'content-type': (options.form ?? dataLines).contentType,
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...(first.done ? {} : options.toHeaders?.(first.value)),
    },
  })
}

function createBody<Event>(
  options: EventStreamOptions<Event>,
  first: IteratorResult<Event, void>,
): ReadableStream<Uint8Array> {
  const { events, toRecords, toLastRecords, endMark, keepAliveMs = KEEP_ALIVE_MS } = options
  const { form = dataLines, toErrorRecords = (error) => [createErrorBody(error)] } = options
  let waiting: IteratorResult<Event, void> | undefined = first
  const takeNext = (): Promise<IteratorResult<Event, void>> => {
    const held = waiting
    waiting = undefined
    return held ? Promise.resolve(held) : events.next()
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (text: string): void => controller.enqueue(encoder.encode(text))
      const { keepAlive: comment } = form
      const stopKeeping =
        comment === undefined ? () => undefined : keepAlive(() => send(comment), keepAliveMs)
      try {
        for (;;) {
          const { done, value } = await takeNext()
          const records = done ? toLastRecords() : toRecords(value)
          const end = done && endMark !== undefined ? [endMark] : []
          const text = [...records, ...end].map(form.write).join('')
          if (text !== '') send(text)
          if (done) controller.close()
          if (done || text !== '') return
        }
      } catch (error) {
        send(toErrorRecords(error).map(form.write).join(''))
        controller.close()
      } finally {
        stopKeeping()
      }
    },
    async cancel() {
      options.onGone()
      await events.return()
    },
  })
}

/** Calls `send` after each pause of this length until the returned function is called. */
function keepAlive(send: () => void, pauseMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const start = (): void => {
    timer = setTimeout(() => {
      send()
      start()
    }, pauseMs)
  }
  start()
  return () => clearTimeout(timer)
}
