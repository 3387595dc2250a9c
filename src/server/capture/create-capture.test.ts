// The proxy: what reaches the teacher, what comes back, and which rows are kept.
import { describe, expect, it } from 'vitest'
import type { CapturedRow } from './captured-row.ts'
import { type CaptureOptions, type CaptureOutcome, createCapture } from './create-capture.ts'
import { parseRedaction } from './redaction.ts'

const answer = {
  id: 'chatcmpl-1',
  model: 'teacher-1',
  choices: [
    { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Mail a@b.org.' } },
  ],
}
const asked = { model: 'teacher', messages: [{ role: 'user', content: 'Whom? I am c@d.org' }] }

interface Seen {
  url: string
  headers: Headers
  body: string
}

/** A proxy before a teacher that answers so; collects what it saw and what was kept. */
function setUp(respond: () => Response, options: Partial<CaptureOptions> = {}) {
  const seen: Seen[] = []
  const rows: CapturedRow[] = []
  const outcomes: CaptureOutcome[] = []
  const capture = createCapture({
    upstream: 'https://teacher.example/v1/',
    consent: 'assume',
    rules: parseRedaction('all'),
    write: async (row) => void rows.push(row),
    onCall: (outcome) => void outcomes.push(outcome),
    now: () => new Date('2026-01-01T00:00:00Z'),
    fetch: async (url, init) => {
      const { headers, body } = init!
      seen.push({
        url: String(url),
        headers: new Headers(headers),
        body: body ? new TextDecoder().decode(body as Uint8Array) : '',
      })
      return respond()
    },
    ...options,
  })
  const post = async (
    body: unknown,
    headers: Record<string, string> = {},
    path = 'chat/completions',
  ) => {
    const response = await capture.fetch(
      new Request(`http://127.0.0.1/v1/${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { authorization: 'Bearer key-of-the-teacher', ...headers },
      }),
    )
    const text = await response.text()
    await capture.settle()
    return { status: response.status, headers: response.headers, text }
  }
  return { post, seen, rows, outcomes, capture }
}

/** Marks the place of `depth` lists in one another, which JSON.stringify cannot write. */
const nest = (depth: number) => `nested ${depth}`
const stringifyDeep = (value: unknown): string =>
  JSON.stringify(value).replace(/"nested (\d+)"/, (_, depth) =>
    '['.repeat(Number(depth)).padEnd(2 * Number(depth), ']'),
  )

const toStream = (events: readonly unknown[], pieces = 7): Response => {
  const bytes = new TextEncoder().encode(
    [...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), 'data: [DONE]\n\n'].join(''),
  )
  const parts = Array.from({ length: Math.ceil(bytes.length / pieces) }, (_, i) =>
    bytes.slice(i * pieces, (i + 1) * pieces),
  )
  return new Response(ReadableStream.from(parts) as ReadableStream, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  })
}

describe('createCapture', () => {
  it('passes a call on as it is and keeps it without mails', async () => {
    const { post, seen, rows } = setUp(() => Response.json(answer))
    const { status, text } = await post(asked, { 'x-graft-consent': 'yes', 'x-other': '1' })
    expect([status, JSON.parse(text)]).toEqual([200, answer])
    expect(seen[0]!.url).toBe('https://teacher.example/v1/chat/completions')
    expect(JSON.parse(seen[0]!.body)).toEqual(asked)
    expect(seen[0]!.headers.get('authorization')).toBe('Bearer key-of-the-teacher')
    expect(seen[0]!.headers.get('x-other')).toBe('1')
    expect(seen[0]!.headers.get('x-graft-consent')).toBeNull()
    expect(rows).toEqual([
      {
        messages: [
          { role: 'user', content: 'Whom? I am [email]' },
          { role: 'assistant', content: 'Mail [email].' },
        ],
        captured: {
          model: 'teacher-1',
          id: 'chatcmpl-1',
          at: '2026-01-01T00:00:00.000Z',
          consent: 'given',
          redacted: { emails: 2 },
        },
      },
    ])
    expect(JSON.stringify(rows)).not.toContain('key-of-the-teacher')
  })

  it('keeps streams as whole answers with their tool calls, byte for byte to the client', async () => {
    const calls = [
      { index: 0, id: 'call_1', function: { name: 'add', arguments: '{"a"' } },
      { index: 0, function: { arguments: ': 1}' } },
      { index: 1, id: 'call_2', function: { name: 'mul', arguments: '{}' } },
    ]
    const deltas = [
      { role: 'assistant', reasoning_content: 'Hm. ' },
      { reasoning_content: 'Öö.' },
      ...calls.map((call) => ({ tool_calls: [call] })),
    ]
    const events = [
      ...deltas.map((delta) => ({ id: 'c', model: 'm', choices: [{ index: 0, delta }] })),
      { id: 'c', model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] },
      { id: 'c', model: 'm', choices: [], usage: { total_tokens: 3 } },
    ]
    const { post, rows } = setUp(() => toStream(events))
    const tools = [{ type: 'function', function: { name: 'add' } }]
    const { text } = await post({ ...asked, stream: true, tools })
    expect(text).toBe(await toStream(events).text())
    expect(rows[0]!.tools).toEqual(tools)
    expect(rows[0]!.messages[1]).toEqual({
      role: 'assistant',
      content: null,
      reasoning_content: 'Hm. Öö.',
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'add', arguments: '{"a": 1}' } },
        { id: 'call_2', type: 'function', function: { name: 'mul', arguments: '{}' } },
      ],
    })
  })

  it('keeps each of several answers', async () => {
    const choices = ['one', 'two'].map((content, index) => ({
      index,
      finish_reason: 'stop',
      message: { role: 'assistant', content },
    }))
    const { post, rows } = setUp(() => Response.json({ ...answer, choices }))
    await post(asked)
    expect(rows.map(({ messages }) => (messages[1] as { content: string }).content)).toEqual([
      'one',
      'two',
    ])
  })

  it.each([
    ['no consent', asked, answer, { 'x-graft-consent': 'no' }],
    [
      'the answer was cut off',
      asked,
      { ...answer, choices: [{ ...answer.choices[0], finish_reason: 'length' }] },
      {},
    ],
    [
      'a message is not text',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      answer,
      {},
    ],
    ['the request has no messages', { messages: [] }, answer, {}],
    ['the answer did not end, is not JSON, or has more than 8388608 bytes', 'no JSON', answer, {}],
  ])('leaves out a call: %s', async (reason, request, response, headers) => {
    const { post, rows, outcomes } = setUp(() => Response.json(response))
    expect((await post(request, headers)).status).toBe(200)
    expect(rows).toEqual([])
    expect(outcomes).toEqual([{ type: 'left-out', reason }])
  })

  it('asks for consent where it is asked to', async () => {
    const { post, rows } = setUp(() => Response.json(answer), { consent: 'ask' })
    await post(asked)
    expect(rows).toEqual([])
    await post(asked, { 'x-graft-consent': 'Yes' })
    expect(rows).toHaveLength(1)
  })

  it('leaves out a stream that is cut, and passes on what came', async () => {
    const event = { choices: [{ index: 0, delta: { content: 'hal' } }] }
    const cut = () =>
      new Response(`data: ${JSON.stringify(event)}\n\n`, {
        headers: { 'content-type': 'text/event-stream' },
      })
    const { post, rows, outcomes } = setUp(cut)
    expect((await post({ ...asked, stream: true })).text).toContain('hal')
    expect([rows, outcomes[0]!.type]).toEqual([[], 'left-out'])
  })

  it("passes on the teacher's errors and other routes, and keeps none of them", async () => {
    const { post, rows } = setUp(() =>
      Response.json({ error: { message: 'slow down' } }, { status: 429 }),
    )
    const refused = await post(asked)
    expect([refused.status, refused.text]).toEqual([429, '{"error":{"message":"slow down"}}'])
    const { capture, seen, rows: none } = setUp(() => Response.json({ data: [] }))
    await (await capture.fetch(new Request('http://127.0.0.1/v1/models?limit=2'))).text()
    expect(seen[0]!.url).toBe('https://teacher.example/v1/models?limit=2')
    expect([rows, none]).toEqual([[], []])
  })

  it('answers with an error of its own where the teacher is away or the path is not /v1', async () => {
    const away = setUp(() => {
      throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
    })
    const { status, text } = await away.post(asked)
    expect(status).toBe(502)
    expect(text).toContain('The teacher cannot be reached: fetch failed: connect ECONNREFUSED.')
    const response = await away.capture.fetch(new Request('http://127.0.0.1/admin'))
    expect(response.status).toBe(404)
  })

  it('lets the answer through where its row cannot be written', async () => {
    const { post, outcomes } = setUp(() => Response.json(answer), {
      write: () => Promise.reject(new Error('disk full')),
    })
    expect((await post(asked)).status).toBe(200)
    expect(outcomes).toEqual([{ type: 'failed', error: new Error('disk full') }])
  })

  it.each([
    ['request', { ...asked, tools: nest(20_000) }, answer],
    [
      'answer',
      asked,
      {
        ...answer,
        choices: [
          {
            finish_reason: 'stop',
            message: { role: 'assistant', content: 'x', tool_calls: nest(20_000) },
          },
        ],
      },
    ],
  ])(
    'passes on the %s that is nested deeply, and keeps none of it',
    async (_, request, response) => {
      const text = stringifyDeep(response)
      const { post, rows, outcomes } = setUp(() => new Response(text))
      expect((await post(stringifyDeep(request))).text).toBe(text)
      const reason = 'messages, tools or the answer are nested deeper than 100 levels'
      expect([rows, outcomes]).toEqual([[], [{ type: 'left-out', reason }]])
    },
  )

  it('passes on an answer that is too large to be kept, and keeps none of it', async () => {
    const text = JSON.stringify({ ...answer, more: 'x'.repeat(9 * 2 ** 20) })
    const { post, rows, outcomes } = setUp(() => new Response(text))
    expect((await post(asked)).text).toHaveLength(text.length)
    expect([rows, outcomes[0]]).toMatchObject([[], { type: 'left-out' }])
  })

  it('keeps no secret of the model and the id of an answer', async () => {
    const { post, rows } = setUp(() =>
      Response.json({ ...answer, id: 'ann@example.org', model: 'sk-abcdefghijklmnopqrst' }),
    )
    await post(asked)
    expect(rows[0]!.captured).toMatchObject({ id: '[email]', model: '[key]' })
  })

  it('counts a call whose client goes away in the middle, and keeps no half of it', async () => {
    const event = { choices: [{ index: 0, delta: { content: 'hal' } }] }
    const endless = () =>
      new Response(
        new ReadableStream({
          pull: (controller) =>
            controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`)),
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      )
    const { capture, rows, outcomes } = setUp(endless)
    const url = 'http://127.0.0.1/v1/chat/completions'
    const body = JSON.stringify({ ...asked, stream: true })
    const response = await capture.fetch(new Request(url, { method: 'POST', body }))
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await capture.settle()
    expect([rows, outcomes]).toEqual([
      [],
      [{ type: 'left-out', reason: 'the client or the teacher ended the connection' }],
    ])
  })

  it('refuses a body that is too large before it is sent on', async () => {
    const { post, seen } = setUp(() => Response.json(answer), { maxBodyBytes: 50 })
    expect((await post(asked)).status).toBe(413)
    expect(seen).toEqual([])
  })
})
