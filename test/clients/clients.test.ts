// Official clients against graft serve on a socket: what they send is understood, what they get back
// is what they expect.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadModel, saveAdapter, startServer, type StartedServer } from '../../src/node/index.ts'
import { createNoisyExpert } from '../support/server.ts'
import { areInstalled, loadClient } from './load-client.ts'

const title = areInstalled
  ? 'clients'
  : 'clients [skip: not installed; npm test installs them, or npm ci in test/clients]'

describe.skipIf(!areInstalled)(title, () => {
  let folder: string
  let server: StartedServer
  let baseURL: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'graft-clients-'))
    const model = await loadModel('stories260k')
    await saveAdapter(createNoisyExpert(model, 5), join(folder, 'noisy'))
    await model.dispose()
    server = await startServer({
      model: 'stories260k',
      adapters: [{ name: 'noisy', path: join(folder, 'noisy') }],
      learn: true,
      state: 'memory',
      log: 'off',
      port: 0,
    })
    baseURL = `${server.url}/v1`
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })
  const messages = [{ role: 'user', content: 'Tell me about a dog.' }]
  const asked = { model: 'stories260k', messages, max_tokens: 12, temperature: 0 }

  describe('openai', () => {
    const open = async (options: object = {}) => {
      const { OpenAI } = await loadClient('openai')
      return new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, ...options })
    }

    it('lists models, base first', async () => {
      const client = await open()
      const ids = []
      for await (const { id } of await client.models.list()) ids.push(id)
      expect(ids).toEqual(['stories260k', 'noisy'])
    })

    it('chats, whole and streamed, the same text', async () => {
      const client = await open()
      const whole = await client.chat.completions.create(asked)
      const stream = await client.chat.completions.create({
        ...asked,
        stream: true,
        stream_options: { include_usage: true },
      })
      let text = ''
      let usage
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? ''
        usage = chunk.usage ?? usage
      }
      expect(text).toBe(whole.choices[0].message.content)
      expect(text.length).toBeGreaterThan(0)
      expect([usage.prompt_tokens, usage.completion_tokens]).toEqual([
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
      ])
    })

    it('asks an expert by its name, and in a sum', async () => {
      const client = await open()
      const textOf = async (model: string) =>
        (await client.chat.completions.create({ ...asked, model })).choices[0].message.content
      const base = await textOf('stories260k')
      expect(await textOf('noisy')).not.toBe(base)
      expect(await textOf('stories260k:noisy')).toBe(await textOf('noisy'))
      expect(await textOf('noisy:0')).toBe(base)
    })

    it('gets an answer of a schema, parsed', async () => {
      const client = await open()
      const { z } = await loadClient('zod')
      const { zodResponseFormat } = await loadClient('openai/helpers/zod')
      const schema = z.object({ name: z.enum(['Tom', 'Lily']), age: z.number().int() })
      const answer = await client.chat.completions.parse({
        ...asked,
        max_tokens: 60,
        response_format: zodResponseFormat(schema, 'person'),
      })
      const { finish_reason: reason, message } = answer.choices[0]
      expect(reason).toBe('stop')
      expect(schema.safeParse(message.parsed).success).toBe(true)
    })

    it('embeds, as floats and as its default base64', async () => {
      const client = await open()
      const input = ['A dog', 'A cat']
      const plain = await client.embeddings.create({
        model: 'noisy',
        input,
        encoding_format: 'float',
      })
      const packed = await client.embeddings.create({ model: 'noisy', input })
      expect(plain.data.map(({ index }: { index: number }) => index)).toEqual([0, 1])
      const [vector] = packed.data
      vector.embedding.forEach((value: number, i: number) =>
        expect(value).toBeCloseTo(plain.data[0].embedding[i], 5),
      )
    })

    it('completes, with echo and log-probabilities', async () => {
      const client = await open()
      const { choices } = await client.completions.create({
        model: 'stories260k',
        prompt: 'Once upon',
        echo: true,
        logprobs: 1,
        max_tokens: 2,
        temperature: 0,
      })
      expect(choices[0].text.startsWith('Once upon')).toBe(true)
      expect(choices[0].logprobs.token_logprobs[0]).toBeNull()
    })

    it('throws its own error classes, and does not repeat what cannot help', async () => {
      const { NotFoundError, BadRequestError } = await loadClient('openai')
      let requests = 0
      const counting = async (...given: Parameters<typeof fetch>) => {
        requests++
        return fetch(...given)
      }
      const client = await open({ maxRetries: 2, fetch: counting })
      await expect(client.chat.completions.create({ ...asked, model: 'nois' })).rejects.toThrow(
        NotFoundError,
      )
      await expect(client.chat.completions.create({ ...asked, temperature: 9 })).rejects.toThrow(
        BadRequestError,
      )
      expect(requests).toBe(2)
    })

    it(
      'waits as Retry-After says after 429, and gets its answers',
      { timeout: 180_000 },
      async () => {
        const limited = await startServer({
          model: 'stories260k',
          maxRequests: 1,
          state: 'memory',
          log: 'off',
          port: 0,
        })
        const statuses: number[] = []
        const waits: (string | null)[] = []
        const counting = async (...given: Parameters<typeof fetch>) => {
          const response = await fetch(...given)
          statuses.push(response.status)
          if (response.status === 429) waits.push(response.headers.get('retry-after'))
          return response
        }
        const options = { baseURL: `${limited.url}/v1`, fetch: counting }
        const client = await open({ ...options, maxRetries: 60 })
        const call = { ...asked, max_tokens: 60, min_tokens: 60 }
        const answers = await Promise.all(
          [1, 2, 3].map(async () => client.chat.completions.create(call)),
        )
        const texts = answers.map(({ choices }) => choices[0].message.content)
        expect(new Set(texts).size).toBe(1)
        expect(statuses.filter((status) => status === 200)).toHaveLength(3)
        expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(0)
        expect(new Set(waits)).toEqual(new Set(['1']))
        const { RateLimitError } = await loadClient('openai')
        const hasty = await open({ ...options, maxRetries: 0 })
        const running = client.chat.completions.create({
          ...call,
          max_tokens: 400,
          min_tokens: 400,
        })
        await expect
          .poll(async () => (await limited.service.stats()).running, {
            timeout: 20_000,
            interval: 5,
          })
          .toBe(1)
        await expect(hasty.chat.completions.create(asked)).rejects.toThrow(RateLimitError)
        await running
        await limited.close()
      },
    )

    it('leaves a stream, and the server is idle soon after', async () => {
      const client = await open()
      const stream = await client.chat.completions.create({
        ...asked,
        max_tokens: 400,
        stream: true,
      })
      for await (const _ of stream) break
      await expect
        .poll(async () => (await server.service.stats()).running, { timeout: 5000 })
        .toBe(0)
    })
  })

  describe('ai with @ai-sdk/openai-compatible', () => {
    const open = async () => {
      const { createOpenAICompatible } = await loadClient('@ai-sdk/openai-compatible')
      return createOpenAICompatible({ name: 'graft', baseURL, supportsStructuredOutputs: true })
    }

    it('generates, streams and embeds', async () => {
      const provider = await open()
      const { embedMany, generateText, streamText } = await loadClient('ai')
      const call = {
        model: provider('noisy'),
        prompt: 'A dog',
        maxOutputTokens: 10,
        temperature: 0,
      }
      const { text, usage } = await generateText(call)
      let streamed = ''
      for await (const part of streamText(call).textStream) streamed += part
      expect(streamed).toBe(text)
      expect(usage.outputTokens).toBeGreaterThan(0)
      const model = provider.textEmbeddingModel('noisy')
      const { embeddings } = await embedMany({ model, values: ['a', 'b'] })
      expect(embeddings).toHaveLength(2)
    })

    it('gets an object of a schema', async () => {
      const provider = await open()
      const { generateText, Output } = await loadClient('ai')
      const { z } = await loadClient('zod')
      const schema = z.object({ colour: z.enum(['red', 'blue']) })
      const { output } = await generateText({
        model: provider('stories260k'),
        prompt: 'A ball',
        output: Output.object({ schema }),
        maxOutputTokens: 60,
      })
      expect(schema.safeParse(output).success).toBe(true)
    })

    it('calls a tool that is required', async () => {
      const provider = await open()
      const { generateText, tool } = await loadClient('ai')
      const { z } = await loadClient('zod')
      const inputSchema = z.object({ city: z.enum(['Oslo', 'Rome']) })
      const { toolCalls } = await generateText({
        model: provider('stories260k'),
        prompt: 'Weather?',
        tools: { weather: tool({ description: 'The weather', inputSchema }) },
        toolChoice: 'required',
        maxOutputTokens: 120,
        temperature: 0,
      })
      expect(toolCalls[0].toolName).toBe('weather')
      expect(inputSchema.safeParse(toolCalls[0].input).success).toBe(true)
    })
  })

  describe('@langchain/openai', () => {
    it('invokes and streams', async () => {
      const { ChatOpenAI } = await loadClient('@langchain/openai')
      const options = { configuration: { baseURL }, apiKey: 'none', maxRetries: 0 }
      const chat = new ChatOpenAI({ ...options, model: 'noisy', temperature: 0, maxTokens: 10 })
      const { content } = await chat.invoke('A dog')
      let streamed = ''
      for await (const chunk of await chat.stream('A dog')) streamed += chunk.content
      expect(streamed).toBe(content)
    })
  })
})
