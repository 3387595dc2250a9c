// Bytes of a source as a response: the whole, or the one range that was asked for, in parts that are
// read when the client takes them.

import type { ByteSource } from '../../../formats/byte-source.ts'

const partBytes = 1 << 20

interface Span {
  readonly start: number
  /** The first byte behind it. */
  readonly end: number
}

export interface SendOptions {
  /** The header Range of the request. */
  readonly range: string | undefined
  readonly headers: Readonly<Record<string, string>>
  /** Called once the bytes are sent or no longer wanted. */
  readonly onEnd?: () => unknown
}

/** The first and last byte of `bytes=a-b`; undefined for every other form, and where b < a. */
function parseRange(range: string | undefined): { first: number; last: number } | undefined {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  const first = Number(from)
  const last = to ? Number(to) : Infinity
  return from === undefined || last < first ? undefined : { first, last }
}

/**
 * 200, 206 for `bytes=a-b`, 416 if the range begins beyond the end; other forms of range are
 * ignored and answered with 200.
 */
export function sendSource(
  source: ByteSource,
  { range, headers, onEnd = () => undefined }: SendOptions,
): Response {
  const { sizeBytes } = source
  const asked = parseRange(range)
  const start = asked?.first ?? 0
  const own = new Headers(headers)
  own.set('accept-ranges', 'bytes')
  if (asked && start >= sizeBytes) {
    onEnd()
    own.set('content-range', `bytes */${sizeBytes}`)
    return new Response(null, { status: 416, headers: own })
  }
  const end = Math.min((asked?.last ?? Infinity) + 1, sizeBytes)
  own.set('content-length', String(end - start))
  if (asked) own.set('content-range', `bytes ${start}-${end - 1}/${sizeBytes}`)
  const body = streamSpan(source, { start, end }, onEnd)
  return new Response(body, { status: asked ? 206 : 200, headers: own })
}

function streamSpan(
  source: ByteSource,
  { start, end }: Span,
  onEnd: () => unknown,
): ReadableStream<Uint8Array> {
  let at = start
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const length = Math.min(partBytes, end - at)
      try {
        if (length > 0) controller.enqueue(await source.read(at, length))
      } catch (error) {
        onEnd()
        throw error
      }
      at += length
      if (at < end) return
      controller.close()
      onEnd()
    },
    cancel: () => void onEnd(),
  })
}
