// Streamed chats and log-probabilities. Numbers: the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEventStream } from '../../src/server/api/requests/event-stream.ts'
import type { Service } from '../../src/server/service.ts'
import { createServer } from '../../src/server/app.ts'
import { ask, openTestServer, parseRecords, type TestServer } from '../support/server.ts'

const path = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Tell a story.' }]
const greedy = { messages, temperature: 0, max_tokens: 40 }

let server: TestServer
beforeAll(async () => {
  server = await openTestServer()
})
afterAll(() => server.close())

interface Chunk {
  readonly id: string
  readonly choices: readonly {
    readonly index: number
    readonly delta: { readonly role?: string; readonly content?: string }
    readonly finish_reason: string | null
    readonly logprobs: { readonly content: readonly object[] } | null
  }[]
  readonly usage?: { readonly completion_tokens: number } | null
}

const read = async (body: object, at = path) => {
  const { headers, body: text } = await ask(server, at, { stream: true, ...body })
  const records = parseRecords(text)
  expect(records.at(-1)).toBe('[DONE]')
  return { headers, chunks: records.slice(0, -1) as Chunk[] }
}
const join = (chunks: readonly Chunk[], index = 0): string =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('')

describe('a streamed chat', () => {
  it('21, 22, 23, 29: has one role, one id, one end, and its type', async () => {
    const { headers, chunks } = await read(greedy)
    expect(headers.get('content-type')).toContain('text/event-stream')
    expect(chunks[0]).toMatchObject({ choices: [{ delta: { role: 'assistant', content: '' } }] })
    const choices = chunks.flatMap((chunk) => chunk.choices)
    expect(choices.filter(({ delta }) => delta.role !== undefined)).toHaveLength(1)
    for (const key of ['id', 'created', 'model', 'object'])
      expect(new Set(chunks.map((chunk) => chunk[key as 'id'])).size).toBe(1)
    expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk' })
    const ended = choices.filter((choice) => choice.finish_reason !== null)
    expect(ended).toEqual([choices.at(-1)])
    expect(ended[0]!.delta).toEqual({})
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true)
  })

  it('24: the deltas joined are the text that is not streamed', async () => {
    const { body } = await ask(server, path, greedy)
    expect(join((await read(greedy)).chunks)).toBe(body.choices[0].message.content)
  })

  it('25: the usage comes last, in a chunk without choices', async () => {
    const { chunks } = await read({ ...greedy, stream_options: { include_usage: true } })
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 40 } })
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true)
  })

  it('28: continuous_usage_stats counts along', async () => {
    const { chunks } = await read({ ...greedy, stream_options: { continuous_usage_stats: true } })
    const counts = chunks.map(({ usage }) => usage!.completion_tokens)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    expect([counts[0], counts.at(-1)]).toEqual([0, 40])
    expect(new Set(counts).size).toBeGreaterThan(20)
  })

  it('31: nothing that may begin a stop string is sent early', async () => {
    const { body } = await ask(server, path, greedy)
    const whole: string = body.choices[0].message.content
    const stop = whole.slice(20, 26)
    const { chunks } = await read({ ...greedy, stop: [stop] })
    expect(join(chunks)).toBe(whole.slice(0, whole.indexOf(stop)))
  })

  it('32: n answers have their index and end once each', async () => {
    const asked = { messages, max_tokens: 9, n: 2, seed: 4 }
    const { chunks } = await read(asked)
    const { choices } = (await ask(server, path, asked)).body
    for (const index of [0, 1]) {
      expect(join(chunks, index)).toBe(choices[index].message.content)
      const own = chunks.flatMap((chunk) => chunk.choices).filter((one) => one.index === index)
      expect(own.filter((one) => one.finish_reason !== null)).toHaveLength(1)
    }
  })
})

describe('the stream itself', () => {
  const options = {
    toRecords: (value: string) => [{ value }],
    toLastRecords: () => [],
    endMark: '[DONE]',
    onGone: () => {},
  }
  it('30: an error after the beginning is a record, and the stream ends without [DONE]', async () => {
    async function* events() {
      yield 'a'
      throw new TypeError('inside')
    }
    const text = await (await createEventStream({ ...options, events: events() })).text()
    const [first, second, ...rest] = parseRecords(text)
    expect(first).toEqual({ value: 'a' })
    expect(Object.keys(second.error)).toEqual(['message', 'type', 'param', 'code'])
    expect([rest, text.includes('inside')]).toEqual([[], false])
  })

  it('33: a comment is sent while nothing comes', async () => {
    async function* events() {
      yield 'a'
      await new Promise((resolve) => setTimeout(resolve, 60))
      yield 'b'
    }
    const stream = await createEventStream({ ...options, events: events(), keepAliveMs: 10 })
    const text = await stream.text()
    expect(text.match(/^: keep-alive$/gm)!.length).toBeGreaterThan(1)
    expect(parseRecords(text)).toEqual([{ value: 'a' }, { value: 'b' }, '[DONE]'])
  })

  it('121: who stops reading ends the sequence', async () => {
    const request = new Request(`http://graft${path}`, {
      method: 'POST',
      body: JSON.stringify({ messages, stream: true, ignore_eos: true }),
    })
    const response = await server.server.fetch(request)
    const reader = response.body!.getReader()
    await reader.read()
    expect((await server.service.stats()).running).toBe(1)
    await reader.cancel()
    await server.engine.run()
    const { running, waiting, cancelled } = await server.service.stats()
    expect([running, waiting, cancelled]).toEqual([0, 0, 1])
  })

  it('121: a client that leaves while a whole answer is written ends it too', async () => {
    const gone = new AbortController()
    const before = (await server.service.stats()).cancelled
    const usage: unknown[] = []
    const counted = createServer({
      service: server.service as Service,
      middleware: [
        async (context, next) => {
          context.set('reportUsage', (one) => void usage.push(one))
          await next()
        },
      ],
    })
    const asked = { messages, ignore_eos: true, user: 'ada' }
    const answer = counted.fetch(
      new Request(`http://graft${path}`, {
        method: 'POST',
        body: JSON.stringify(asked),
        signal: gone.signal,
      }),
    )
    while ((await server.service.stats()).running === 0)
      await new Promise((resolve) => setTimeout(resolve, 1))
    gone.abort()
    expect((await answer).status).toBe(499)
    await server.engine.run()
    expect((await server.service.stats()).cancelled).toBe(before + 1)
    expect(usage).toMatchObject([{ end: 'cancelled', user: 'ada', expert: undefined }])
  })
})

describe('log-probabilities', () => {
  const asked = { messages, max_tokens: 6, temperature: 0 }
  it('34: are null where they are not asked for', async () => {
    expect((await ask(server, path, asked)).body.choices[0].logprobs).toBeNull()
  })

  it.each([0, 5])('35: %i alternatives, best first', async (count) => {
    const { body } = await ask(server, path, { ...asked, logprobs: true, top_logprobs: count })
    const { content } = body.choices[0].logprobs
    expect(content).toHaveLength(6)
    for (const { token, logprob, bytes, top_logprobs: top } of content) {
      expect(top).toHaveLength(count)
      expect(logprob).toBeLessThanOrEqual(0)
      expect(bytes === null || new TextDecoder().decode(new Uint8Array(bytes)) === token).toBe(true)
      const values = top.map((one: { logprob: number }) => one.logprob)
      expect(values).toEqual(values.toSorted((a: number, b: number) => b - a))
      expect(top[0] ?? { token, logprob }).toMatchObject({ token, logprob })
    }
    const text = content.map((one: { token: string }) => one.token).join('')
    expect(text).toBe(body.choices[0].message.content)
  })

  it('39: are the same where they are streamed', async () => {
    const wanted = { ...asked, logprobs: true, top_logprobs: 2 }
    const { body } = await ask(server, path, wanted)
    const { chunks } = await read(wanted)
    const content = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])
    expect(content).toEqual(body.choices[0].logprobs.content)
  })

  it('gives those of the prompt, as vLLM does', async () => {
    const { body } = await ask(server, path, { ...asked, prompt_logprobs: 1 })
    expect(body.prompt_logprobs).toHaveLength(body.usage.prompt_tokens)
    expect(body.prompt_logprobs[0]).toBeNull()
    const [first] = Object.values(body.prompt_logprobs[1])
    expect(first).toMatchObject({ rank: 1, decoded_token: expect.any(String) })
  })
})
