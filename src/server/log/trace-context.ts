// W3C trace context: the header `traceparent`, by which a request's span belongs to its caller's.

/** The position of a span in a trace. */
export interface TraceContext {
  /** 32 and 16 digits of hexadecimal. */
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
}

/** undefined for an invalid header; the request then begins a new trace. */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(
    header ?? '',
  )
  if (!match) return undefined
  const [, version, traceId, spanId, flags, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined
  return { traceId: traceId!, spanId: spanId!, isSampled: (parseInt(flags!, 16) & 1) === 1 }
}
