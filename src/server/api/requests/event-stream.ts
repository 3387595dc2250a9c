// An answer as server-sent events. What is wrong before the first event is an ordinary error; later
// it is a record with an error, after which the stream ends. A client that goes away ends the answer.

import { createErrorBody } from '../../error-response.ts'

/** Milliseconds of silence after which a comment is sent, so that nobody closes the connection. */
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
  readonly keepAliveMs?: number
  /** Further headers, from the first event. */
  readonly toHeaders?: (first: Event) => Readonly<Record<string, string>>
  /** Called when the client has gone. */
  readonly onGone: () => void
}

const toText = (record: unknown): string =>
  `data: ${typeof record === 'string' ? record : JSON.stringify(record)}\n\n`

/** Waits for the first event, so that a request that cannot be answered throws here. */
export async function createEventStream<Event>(
  options: EventStreamOptions<Event>,
): Promise<Response> {
  const first = await options.events.next()
  const body = createBody(options, first)
  return new Response(body, {
    status: 200,
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
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
  let waiting: IteratorResult<Event, void> | undefined = first
  const takeNext = (): Promise<IteratorResult<Event, void>> => {
    const held = waiting
    waiting = undefined
    return held ? Promise.resolve(held) : events.next()
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (text: string): void => controller.enqueue(encoder.encode(text))
      const stopKeeping = keepAlive(() => send(': keep-alive\n\n'), keepAliveMs)
      try {
        for (;;) {
          const { done, value } = await takeNext()
          const records = done ? toLastRecords() : toRecords(value)
          const end = done && endMark !== undefined ? [endMark] : []
          const text = [...records, ...end].map(toText).join('')
          if (text !== '') send(text)
          if (done) controller.close()
          if (done || text !== '') return
        }
      } catch (error) {
        send(toText(createErrorBody(error)))
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
