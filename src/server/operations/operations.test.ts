// Limits, usage, metrics, log, spans, ids, sizes, and a graceful shutdown, through the app.

import { describe, expect, it } from 'vitest'
import type { TraceSpan } from '../log/span-exporter.ts'
import { createTestServer, createTestService } from './testing.ts'

describe('limits', () => {
  it('of a key are 429 with Retry-After and headers as OpenAI has', async () => {
    const { infer, operations } = createTestServer()
    const { text: key } = await operations.keys.add({ name: 'ci', requestsPerMinute: 2 })
    const first = await infer({}, key)
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2')
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    await infer({}, key)
    const { status, headers, error } = await infer({}, key)
    expect(status).toBe(429)
    expect(headers.get('retry-after')).toBe('30')
    expect(headers.get('x-should-retry')).toBeNull()
    expect(error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
  })
  it('of tokens count what was used', async () => {
    const { infer, clock, operations } = createTestServer()
    const { text: key } = await operations.keys.add({ name: 'ci', tokensPerMinute: 60 })
    await infer({ max_tokens: 70 }, key) // 75 tokens: 15 too many, one comes back a second
    const { status, headers } = await infer({}, key)
    expect([status, headers.get('retry-after')]).toEqual([429, '16'])
    clock.ms += 16_000
    expect((await infer({}, key)).status).toBe(200)
  })
  it('of concurrency are held until a stream has ended', async () => {
    const { server, infer } = createTestServer({ maxRequests: 1 })
    const response = await server.fetch(
      new Request('http://localhost/v1/infer', { method: 'POST', body: '{}' }),
    )
    expect((await infer()).error.code).toBe('server_busy')
    await response.text()
    expect((await infer()).status).toBe(200)
  })
  it('of concurrency are given back by a client that goes away', async () => {
    const { server, infer } = createTestServer({ maxRequests: 1 })
    const response = await server.fetch(
      new Request('http://localhost/v1/infer', { method: 'POST', body: '{}' }),
    )
    await response.body!.cancel()
    expect((await infer()).status).toBe(200)
  })
  it('do not concern open paths and metrics', async () => {
    const { server, ask } = createTestServer({ maxRequests: 1 })
    await server.fetch(new Request('http://localhost/v1/infer', { method: 'POST', body: '{}' }))
    for (const path of ['/healthz', '/readyz', '/metrics'])
      expect((await ask(path)).status).toBe(200)
  })
  it('apply to all keys without limits of their own', async () => {
    const { infer } = createTestServer({ requestsPerMinute: 1 })
    await infer()
    expect((await infer()).error.message).toContain('This server may make 1 requests per minute')
  })
  it('of an answer are its own', async () => {
    const { infer } = createTestServer({ maxTokens: 2, maxPromptTokens: 4 })
    expect((await infer()).status).toBe(400)
    const { infer: other } = createTestServer({ maxTokens: 2 })
    expect((await other({ max_tokens: 100 })).text).toBe('xx')
  })
})

describe('a body', () => {
  it('that is too long is 413, declared or not, and never read whole', async () => {
    const { ask, server } = createTestServer({ maxBodyBytes: 1024 })
    const body = JSON.stringify({ prompt: 'x'.repeat(2000) })
    const declared = await ask('/v1/infer', {
      method: 'POST',
      body,
      headers: { 'content-length': String(body.length) },
    })
    expect([declared.status, declared.error.code]).toEqual([413, 'body_too_large'])
    expect(declared.headers.get('connection')).toBe('close')
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled++
        controller.enqueue(new Uint8Array(256))
      },
    })
    const init = { method: 'POST', body: endless, duplex: 'half' as const }
    const response = await server.fetch(new Request('http://localhost/v1/infer', init))
    expect(response.status).toBe(413)
    expect(pulled).toBeLessThan(20)
  })
  it('of the allowed length passes', async () => {
    const { ask } = createTestServer({ maxBodyBytes: 1024 })
    const body = JSON.stringify({ prompt: 'å'.repeat(400) })
    expect((await ask('/v1/infer', { method: 'POST', body })).status).toBe(200)
  })
})

describe('row 120: request ids', () => {
  it.each([
    ['abc-123.X_y:z', true],
    ['a', true],
    ['', false],
    ['a b', false],
    ['a"b', false],
    ['-x', false],
    ['å', false],
    ['a'.repeat(129), false],
  ])('%j is taken over: %s', async (id, taken) => {
    const { ask } = createTestServer()
    for (const path of ['/healthz', '/unknown', '/v1/usage']) {
      const { headers } = await ask(path, { headers: { 'x-request-id': id } })
      const given = headers.get('x-request-id')!
      expect(taken ? given === id : /^req_[0-9a-f]{32}$/.test(given)).toBe(true)
    }
  })
})

describe('usage', () => {
  it('is a row by key, expert and user, and is exported as JSON and CSV', async () => {
    const { ask, infer, operations } = createTestServer()
    const { text: key } = await operations.keys.add({ name: 'ci', scopes: ['infer', 'admin'] })
    await infer({ model: 'coder', user: 'ada' }, key)
    await infer({ model: 'coder', user: 'ada', max_tokens: 1 }, key)
    await infer({ fail: 'bad' }, key)
    const { text } = await ask('/v1/usage', { key })
    const common = { day: '2026-11-30', key: 'ci' }
    expect(JSON.parse(text)).toEqual({
      object: 'list',
      data: [
        {
          ...common,
          expert: '',
          user: '',
          requests: 1,
          failed: 1,
          prompt_tokens: 0,
          cached_tokens: 0,
          completion_tokens: 0,
        },
        {
          ...common,
          expert: 'coder',
          user: 'ada',
          requests: 2,
          failed: 0,
          prompt_tokens: 10,
          cached_tokens: 4,
          completion_tokens: 4,
        },
      ],
    })
    const csv = await ask('/v1/usage?format=csv&from=2026-11-30&to=2026-11-30&key=ci', { key })
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8')
    expect(csv.text).toContain('2026-11-30,ci,coder,ada,2,0,10,4,4\r\n')
    expect((await ask('/v1/usage?key=other', { key })).text).toContain('"data":[]')
  })
  it.each(['format=xml', 'from=yesterday', 'to=2026-1-1', 'user=ada'])(
    'is not asked for with %s',
    async (query) => {
      const { ask } = createTestServer()
      const { status, error } = await ask(`/v1/usage?${query}`)
      expect([status, error.param]).toEqual([400, query.split('=')[0]])
    },
  )
})

describe('metrics', () => {
  const read = async (ask: ReturnType<typeof createTestServer>['ask']) => {
    const { text } = await ask('/metrics')
    return (line: string): number | undefined => {
      const found = text.split('\n').find((one) => one.startsWith(`${line} `))
      return found === undefined ? undefined : Number(found.slice(line.length + 1))
    }
  }
  const model = '{model_name="tiny"}'
  it('row 123: of ten equal requests are exact', async () => {
    const { ask, infer } = createTestServer()
    await Promise.all(Array.from({ length: 10 }, () => infer({ max_tokens: 8 })))
    const get = await read(ask)
    expect(get(`vllm:prompt_tokens_total${model}`)).toBe(50)
    expect(get(`vllm:generation_tokens_total${model}`)).toBe(80)
    expect(get('vllm:request_success_total{model_name="tiny",finished_reason="length"}')).toBe(10)
    expect(get(`vllm:time_to_first_token_seconds_count${model}`)).toBe(10)
    expect(get(`vllm:inter_token_latency_seconds_count${model}`)).toBe(70)
    expect(get(`vllm:e2e_request_latency_seconds_count${model}`)).toBe(10)
    expect(get(`vllm:prefix_cache_queries_total${model}`)).toBe(50)
    expect(get(`vllm:prefix_cache_hits_total${model}`)).toBe(20)
    expect(get(`vllm:num_requests_running${model}`)).toBe(2)
    expect(get(`vllm:num_requests_waiting${model}`)).toBe(1)
    expect(get(`vllm:kv_cache_usage_perc${model}`)).toBe(0.25)
    expect(get(`vllm:num_preemptions_total${model}`)).toBe(3)
    const steps = (bound: string) =>
      get(`vllm:iteration_tokens_total_bucket{model_name="tiny",le="${bound}"}`)
    expect(['1', '8', '32', '+Inf'].map(steps)).toEqual([2, 3, 4, 4])
    expect(get(`vllm:iteration_tokens_total_sum${model}`)).toBe(42)
    expect(get('graft_http_requests_total{route="/v1/infer",method="POST",status="200"}')).toBe(10)
    expect(get('graft_expert_answers_total{expert="tiny"}')).toBe(10)
  })
  it('row 124: of an idle expert are there before its first request', async () => {
    const { ask } = createTestServer({}, { service: createTestService(['coder', 'pinned']) })
    const get = await read(ask)
    for (const expert of ['coder', 'pinned']) {
      expect(get(`graft_expert_answers_total{expert="${expert}"}`)).toBe(0)
      expect(get(`graft_expert_requests_running{expert="${expert}"}`)).toBe(0)
      expect(get(`graft_expert_loaded{expert="${expert}"}`)).toBe(1)
    }
    expect(get('graft_expert_pinned{expert="pinned"}')).toBe(1)
    expect(get(`vllm:generation_tokens_total${model}`)).toBe(0)
    expect(get(`vllm:time_to_first_token_seconds_count${model}`)).toBe(0)
  })
  it('of mixtures are one series, however many clients write', async () => {
    const { ask, infer } = createTestServer()
    for (const mixture of ['coder:0.7+poet:0.3', 'coder:0.71+poet:0.29', 'coder:0.5'])
      await infer({ model: mixture })
    await infer({ model: 'coder' })
    const { text } = await ask('/metrics')
    expect(text).toContain('graft_expert_answers_total{expert="mixture"} 3')
    expect(text).toContain('graft_expert_answers_total{expert="coder"} 1')
    expect(text).not.toContain('0.71')
  })
  it('row 121: of a client that goes away count it once', async () => {
    const { ask, server } = createTestServer()
    const response = await server.fetch(
      new Request('http://localhost/v1/infer', {
        method: 'POST',
        body: '{"model":"coder","max_tokens":50}',
      }),
    )
    const reader = response.body!.getReader()
    await reader.read()
    const during = await ask('/metrics')
    expect(during.text).toMatch(/running_lora_adapters="coder"/)
    await reader.cancel()
    const get = await read(ask)
    expect(get(`vllm:http_requests_client_disconnected_total${model}`)).toBe(1)
    expect(get('vllm:request_success_total{model_name="tiny",finished_reason="abort"}')).toBe(1)
    expect(get('graft_expert_requests_running{expert="coder"}')).toBe(0)
    expect(get('graft_expert_requests_waiting{expert="coder"}')).toBe(0)
  })
  it('name no user and no path of a client', async () => {
    const { ask, infer } = createTestServer()
    await infer({ user: 'ada.lovelace' })
    await ask('/v1/users/ada.lovelace', { method: 'POST', body: '{}' })
    await ask('/secret-path-of-ada.lovelace')
    const { text } = await ask('/metrics')
    expect(text).not.toContain('lovelace')
    expect(text).toContain('graft_http_requests_total{route="unknown",method="GET",status="404"} 1')
    expect(text).toContain('route="/v1/users/{user}"')
  })
})

describe('the log', () => {
  const createLogged = (prompts = false) => {
    const lines: string[] = []
    const test = createTestServer({}, { log: { write: (line) => lines.push(line), prompts } })
    return Object.assign(test, { lines, read: () => lines.map((line) => JSON.parse(line)) })
  }
  it('has one line for each request', async () => {
    const { infer, operations, read } = createLogged()
    const { text: key } = await operations.keys.add({ name: 'ci' })
    await infer({ model: 'coder', user: 'ada', prompt: 'my secret' }, key)
    expect(read()).toEqual([
      {
        time: '2026-11-30T12:00:00.000Z',
        level: 'info',
        event: 'request',
        request_id: expect.stringMatching(/^req_/),
        method: 'POST',
        path: '/v1/infer',
        status: 200,
        duration_ms: 0,
        first_token_ms: 0,
        key: 'ci',
        expert: 'coder',
        prompt_tokens: 5,
        cached_tokens: 2,
        completion_tokens: 3,
        finish: ['length'],
      },
    ])
  })
  it('holds no prompt, no user and no key unless prompts are asked for', async () => {
    const { infer, ask, operations, lines } = createLogged()
    const { text: key } = await operations.keys.add({ name: 'ci' })
    const body = { prompt: 'my secret', user: 'ada.lovelace' }
    await infer(body, key)
    await infer({ ...body, fail: 'bad' }, key)
    await infer({ ...body, max_tokens: 'my secret' }, key)
    await ask('/v1/users/ada.lovelace', { method: 'POST', body: '{}', key })
    await ask('/v1/users/ada.lovelace/more', { key })
    expect(lines).toHaveLength(5)
    for (const part of ['my secret', 'lovelace', key]) expect(lines.join('\n')).not.toContain(part)
    const asked = createLogged(true)
    await asked.infer(body)
    expect(asked.read()[0].prompt).toBe('my secret')
  })
  it('logs details of a server error that the client does not get', async () => {
    const { infer, read } = createLogged()
    const { status, text } = await infer({ fail: 'own' })
    expect(status).toBe(500)
    expect(text).not.toContain('secret.ts')
    expect(read()[0]).toMatchObject({ level: 'error', status: 500 })
    expect(read()[0].error.message).toContain('secret.ts')
  })
  it('row 118: cannot be forged by paths, ids or names', async () => {
    const { ask, infer, lines, read } = createLogged()
    await ask('/a%0d%0a{"event":"request"}%1b[31m')
    await ask('/x', { headers: { 'x-request-id': 'a{"status":200}' } })
    await infer({ model: 'a\r\n{"status":200}\u001b[31m\u009b\u2028\u202e' })
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Cf}]/u)
    expect(read()[2].expert).toContain('\u2028')
  })
  it('has no line for probes', async () => {
    const { ask, lines } = createLogged()
    await ask('/healthz')
    await ask('/readyz')
    expect(lines).toEqual([])
  })
})

describe('spans', () => {
  it('are one for the request and one for each answer, below the caller’s', async () => {
    const posts: { url: string; body: string }[] = []
    const { ask, operations } = createTestServer(
      {},
      {
        trace: {
          url: 'http://collector/v1/traces',
          headers: {},
          resource: { 'service.name': 'graft' },
          send: async (url, { body }) => {
            posts.push({ url, body: String(body) })
            return { status: 200 }
          },
        },
      },
    )
    const traceparent = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`
    const body = JSON.stringify({ model: 'coder', user: 'ada', prompt: 'my secret' })
    await ask('/v1/infer', { method: 'POST', body, headers: { traceparent } })
    const unsampled = `00-${'ef'.repeat(16)}-${'cd'.repeat(8)}-00`
    await ask('/v1/infer', { method: 'POST', body, headers: { traceparent: unsampled } })
    await operations.close()
    expect(posts).toHaveLength(1)
    expect(posts[0]!.body).not.toMatch(/secret|"ada"/)
    const { spans } = JSON.parse(posts[0]!.body).resourceSpans[0].scopeSpans[0]
    expect(spans.map(({ name }: TraceSpan) => name)).toEqual(['POST /v1/infer', 'generate tiny'])
    expect(spans[0]).toMatchObject({
      traceId: 'ab'.repeat(16),
      parentSpanId: 'cd'.repeat(8),
      kind: 2,
      startTimeUnixNano: '1796040000000000000',
    })
    expect(spans[1].parentSpanId).toBe(spans[0].spanId)
    expect(spans[1].attributes).toContainEqual({
      key: 'gen_ai.usage.output_tokens',
      value: { intValue: '3' },
    })
  })
})

describe('row 128: the end', () => {
  it('refuses new requests, lets running ones end, and reports it at /readyz', async () => {
    const { server, ask, infer, operations } = createTestServer()
    const response = await server.fetch(
      new Request('http://localhost/v1/infer', { method: 'POST', body: '{"max_tokens":9}' }),
    )
    const drained = operations.lifecycle.drain(10_000)
    const ready = await ask('/readyz')
    expect([ready.status, ready.headers.get('retry-after')]).toEqual([503, '5'])
    expect((await ask('/healthz')).status).toBe(200)
    const refused = await infer()
    expect([refused.status, refused.error.code, refused.headers.get('retry-after')]).toEqual([
      503,
      'shutting_down',
      '5',
    ])
    expect(await response.text()).toBe('x'.repeat(9))
    expect(await drained).toBe(true)
    expect(operations.lifecycle.openRequests).toBe(0)
  })
  it('comes after its time limit in any case', async () => {
    const { server, operations } = createTestServer()
    await server.fetch(new Request('http://localhost/v1/infer', { method: 'POST', body: '{}' }))
    expect(await operations.lifecycle.drain(5)).toBe(false)
  })
})

it('a store that fails fails no request', async () => {
  const failing = createTestServer()
  const { usage } = failing.state
  const state = Object.assign({}, failing.state, {
    usage: Object.assign({}, usage, { add: () => Promise.reject(new Error('disk full')) }),
  })
  const { infer, operations, failures } = createTestServer({}, { state })
  for (let i = 0; i < 3; i++) expect((await infer()).status).toBe(200)
  await operations.close()
  expect(failures).toEqual(['usage rows cannot be written'])
})
