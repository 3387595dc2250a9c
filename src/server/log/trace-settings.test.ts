import { describe, expect, it } from 'vitest'
import { SpanExporter, type TraceSpan } from './span-exporter.ts'
import { parseTraceparent } from './trace-context.ts'
import { readTraceSettings } from './trace-settings.ts'

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' }

describe("OpenTelemetry's variables", () => {
  it.each([
    ['none', {}],
    ['an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
    ['switched off', { ...endpoint, OTEL_SDK_DISABLED: 'true' }],
    ['another exporter', { ...endpoint, OTEL_TRACES_EXPORTER: 'none' }],
  ])('%s: no spans', (_, variables) => expect(readTraceSettings(variables)).toBeUndefined())
  it('say where spans go and what is sent with them', () => {
    expect(readTraceSettings(endpoint)).toEqual({
      url: 'http://collector:4318/v1/traces',
      headers: {},
      resource: { 'service.name': 'graft' },
    })
    expect(
      readTraceSettings({
        ...endpoint,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://other/traces',
        OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20a%3Db, x=1',
        OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,deployment.environment=test',
        OTEL_SERVICE_NAME: 'b',
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      }),
    ).toEqual({
      url: 'https://other/traces',
      headers: { authorization: 'Bearer a=b', x: '1' },
      resource: { 'service.name': 'b', 'deployment.environment': 'test' },
    })
  })
  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector' }, 'expected a URL'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://collector' }, 'expected a URL'],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'http/json'],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'a' }, 'OTEL_EXPORTER_OTLP_HEADERS'],
  ])('%o are refused', (variables, message) =>
    expect(() => readTraceSettings(variables)).toThrow(message),
  )
})

describe('traceparent', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const span = 'b7ad6b7169203331'
  it.each([
    [`00-${trace}-${span}-01`, true],
    [`00-${trace}-${span}-00`, false],
    [`cc-${trace}-${span}-01-more`, true],
  ])('%s is sampled: %s', (header, isSampled) =>
    expect(parseTraceparent(header)).toEqual({ traceId: trace, spanId: span, isSampled }),
  )
  it.each([
    undefined,
    '',
    `ff-${trace}-${span}-01`,
    `00-${trace}-${span}-01-more`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace}-01`,
  ])('%s is none', (header) => expect(parseTraceparent(header)).toBeUndefined())
})

describe('spans are sent', () => {
  const span: TraceSpan = {
    traceId: 'a',
    spanId: 'b',
    name: 'x',
    kind: 'internal',
    startMs: 1.5,
    endMs: 2,
    attributes: { text: 'a', count: 1, share: 0.5, flag: true, list: ['a'], none: undefined },
    isError: true,
  }
  const settings = { url: 'http://c', headers: { x: '1' }, resource: {} }
  it('as OTLP has them', async () => {
    const bodies: string[] = []
    const send = async (_: string, { body }: RequestInit) => {
      bodies.push(String(body))
      return { status: 200 }
    }
    const exporter = new SpanExporter(Object.assign({ send }, settings))
    exporter.add(span)
    await exporter.close()
    expect(JSON.parse(bodies[0]!).resourceSpans[0].scopeSpans[0].spans).toEqual([
      {
        traceId: 'a',
        spanId: 'b',
        name: 'x',
        kind: 1,
        startTimeUnixNano: '1500000',
        endTimeUnixNano: '2000000',
        attributes: [
          { key: 'text', value: { stringValue: 'a' } },
          { key: 'count', value: { intValue: '1' } },
          { key: 'share', value: { doubleValue: 0.5 } },
          { key: 'flag', value: { boolValue: true } },
          { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }] } } },
        ],
        status: { code: 2 },
      },
    ])
  })
  it('by themselves, some time after they were added', async () => {
    let posts = 0
    const sent = new Promise<void>((resolve) => {
      const send = async () => {
        posts++
        resolve()
        return { status: 200 }
      }
      const exporter = new SpanExporter(Object.assign({ send, intervalMs: 5 }, settings))
      for (let i = 0; i < 10; i++) exporter.add(span)
    })
    await sent
    expect(posts).toBe(1)
  })
  it('and dropped if the collector is unreachable: reported once, with bounded memory', async () => {
    const failures: unknown[] = []
    let status = 503
    const send = async () => ({ status })
    const exporter = new SpanExporter(
      Object.assign({ send, onFailure: (error: unknown) => failures.push(error) }, settings),
    )
    for (let i = 0; i < 5000; i++) exporter.add(span)
    await exporter.flush()
    exporter.add(span)
    await exporter.flush()
    expect(failures).toHaveLength(1)
    expect(exporter.dropped).toBe(5001)
    status = 200
    exporter.add(span)
    await exporter.close()
    expect(exporter.dropped).toBe(5001)
  })
})
