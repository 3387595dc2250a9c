// Sends spans to an OpenTelemetry collector, as OTLP/HTTP in JSON. Own code, because
// OpenTelemetry's packages for it are more than twenty and need Node. If the collector is
// unreachable, only spans are lost.

import type { TraceSettings } from './trace-settings.ts'

type SpanValue = string | number | boolean | readonly string[]

export interface TraceSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string | undefined
  readonly name: string
  /** 'server' of a request, 'internal' of its parts. */
  readonly kind: 'server' | 'internal'
  /** Milliseconds since 1970. */
  readonly startMs: number
  readonly endMs: number
  /** Undefined ones are left out. */
  readonly attributes: Readonly<Record<string, SpanValue | undefined>>
  readonly isError: boolean
}

export interface SpanExporterParts extends TraceSettings {
  readonly send: (url: string, init: RequestInit) => Promise<{ readonly status: number }>
  /** Called when sending begins to fail. */
  readonly onFailure?: (error: unknown) => void
  /** Milliseconds between two posts. Default 5000. */
  readonly intervalMs?: number
}

/** OpenTelemetry's defaults of OTEL_BSP_…. */
const mostWaiting = 2048
const mostInPost = 512
const timeoutMs = 10_000

export class SpanExporter {
  readonly #parts: SpanExporterParts
  #waiting: TraceSpan[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #sending: Promise<void> | undefined
  #isFailing = false
  #dropped = 0

  constructor(parts: SpanExporterParts) {
    this.#parts = parts
  }

  /** Spans that were dropped because the collector did not accept them. */
  get dropped(): number {
    return this.#dropped
  }

  add(span: TraceSpan): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#dropped++
      return
    }
    this.#waiting.push(span)
    if (this.#waiting.length >= mostInPost) void this.flush()
    this.#timer ??= startTimer(() => {
      this.#timer = undefined
      void this.flush()
    }, this.#parts.intervalMs ?? 5000)
  }

  /** Sends the pending spans. */
  flush(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
    return this.#sending
  }

  async close(): Promise<void> {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    await this.flush()
  }

  async #send(): Promise<void> {
    const { url, headers, resource, send, onFailure } = this.#parts
    while (this.#waiting.length > 0) {
      const spans = this.#waiting.slice(0, mostInPost)
      this.#waiting = this.#waiting.slice(spans.length)
      try {
        const { status } = await send(url, {
          method: 'POST',
          headers: Object.assign({}, headers, { 'content-type': 'application/json' }),
          body: JSON.stringify(formatSpans(spans, resource)),
          signal: AbortSignal.timeout(timeoutMs),
        })
        if (status >= 400) throw new Error(`the collector answered ${status}`)
        this.#isFailing = false
      } catch (error) {
        this.#dropped += spans.length
        if (!this.#isFailing) onFailure?.(error)
        this.#isFailing = true
      }
    }
  }
}

function startTimer(work: () => void, milliseconds: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, milliseconds)
  ;(timer as { unref?(): void }).unref?.() // Node would wait for it at its end
  return timer
}

/** OTLP's ExportTraceServiceRequest in JSON. */
export const formatSpans = (
  spans: readonly TraceSpan[],
  resource: Readonly<Record<string, string>>,
): object => ({
  resourceSpans: [
    {
      resource: { attributes: formatAttributes(resource) },
      scopeSpans: [{ scope: { name: 'graftlm' }, spans: spans.map(formatSpan) }],
    },
  ],
})

const formatSpan = (span: TraceSpan): object => ({
  traceId: span.traceId,
  spanId: span.spanId,
  ...(span.parentSpanId !== undefined && { parentSpanId: span.parentSpanId }),
  name: span.name,
  kind: span.kind === 'server' ? 2 : 1,
  startTimeUnixNano: formatNanoseconds(span.startMs),
  endTimeUnixNano: formatNanoseconds(span.endMs),
  attributes: formatAttributes(span.attributes),
  status: span.isError ? { code: 2 } : {},
})

const formatNanoseconds = (milliseconds: number): string =>
  String(BigInt(Math.round(milliseconds * 1000)) * 1000n)

const formatAttributes = (attributes: TraceSpan['attributes']): object[] =>
  Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: formatValue(value) }],
  )

function formatValue(value: SpanValue): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  return { arrayValue: { values: value.map((text) => ({ stringValue: text })) } }
}
