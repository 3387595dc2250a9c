// Official clients of Responses, Messages and Ollama's API against graft serve on a socket.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadModel, saveAdapter, startServer, type StartedServer } from '../../src/node/index.ts'
import { createNoisyExpert } from '../support/server.ts'
import { areInstalled, loadClient } from './load-client.ts'

const title = areInstalled
  ? 'clients of other APIs'
  : 'clients of other APIs [skip: not installed; npm test installs them, or npm ci in test/clients]'

/** In Hermes' notation, and short: the model's context holds 512 tokens. */
const chatTemplate = [
  '{% for t in tools or [] %}{{ t.function.name }} {% endfor %}',
  '{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}',
  '<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
  '</tool_call>{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}',
].join('')

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
}

describe.skipIf(!areInstalled)(title, () => {
  let folder: string
  let server: StartedServer
  /** What the chat of OpenAI answers to the same. */
  let wanted: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'graft-apis-'))
    const model = await loadModel('stories260k')
    await saveAdapter(createNoisyExpert(model, 5), join(folder, 'noisy'))
    await model.dispose()
    server = await startServer({
      model: 'stories260k',
      adapters: [{ name: 'noisy', path: join(folder, 'noisy') }],
      chatTemplate,
      state: 'memory',
      log: 'off',
      port: 0,
    })
    const messages = [{ role: 'user', content: 'A dog' }]
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'noisy', messages, max_tokens: 12, temperature: 0 }),
    })
    const body = (await response.json()) as { choices: { message: { content: string } }[] }
    wanted = body.choices[0]!.message.content
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })

  describe('openai, Responses', () => {
    const open = async () => {
      const { OpenAI } = await loadClient('openai')
      return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
    }
    const asked = { model: 'noisy', input: 'A dog', max_output_tokens: 12, temperature: 0 }

    it('answers whole and streamed with the same text', async () => {
      const client = await open()
      expect((await client.responses.create(asked)).output_text).toBe(wanted)
      const stream = client.responses.stream(asked)
      let text = ''
      stream.on('response.output_text.delta', ({ delta }: { delta: string }) => (text += delta))
      const last = await stream.finalResponse()
      expect([text, last.output_text, last.status]).toEqual([wanted, wanted, 'incomplete'])
    })

    it('calls a function', async () => {
      const client = await open()
      const { output } = await client.responses.create({
        ...asked,
        max_output_tokens: 300,
        tools: [{ type: 'function', name: 'get_time', parameters, strict: true }],
        tool_choice: { type: 'function', name: 'get_time' },
        parallel_tool_calls: false,
      })
      const call = output.find((one: { type: string }) => one.type === 'function_call')
      expect(['Oslo', 'Rome']).toContain(JSON.parse(call.arguments).city)
    })

    it('counts tokens, and reports why a stored response cannot be had', async () => {
      const client = await open()
      const counted = await client.responses.inputTokens.count({ model: 'noisy', input: 'A dog' })
      expect(counted.input_tokens).toBeGreaterThan(3)
      const asking = client.responses.create({ ...asked, previous_response_id: 'resp_1' })
      await expect(asking).rejects.toThrow(/responses are not stored here/)
    })
  })

  it('@ai-sdk/openai, by its default API', async () => {
    const [{ createOpenAI }, { generateText, jsonSchema, streamText }] = await Promise.all([
      loadClient('@ai-sdk/openai'),
      loadClient('ai'),
    ])
    const provider = createOpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' })
    const call = { model: provider('noisy'), prompt: 'A dog', maxOutputTokens: 12, temperature: 0 }
    const whole = await generateText(call)
    expect([whole.text, whole.finishReason]).toEqual([wanted, 'length'])
    let streamed = ''
    for await (const part of streamText(call).textStream) streamed += part
    expect(streamed).toBe(wanted)
    const calling = streamText({
      ...call,
      maxOutputTokens: 300,
      tools: { get_time: { inputSchema: jsonSchema(parameters) } },
      toolChoice: { type: 'tool', toolName: 'get_time' },
      providerOptions: { openai: { parallelToolCalls: false } },
    })
    const [made] = await calling.toolCalls
    expect(made).toMatchObject({ toolName: 'get_time' })
    expect(['Oslo', 'Rome']).toContain(made.input.city)
  })

  it('@openai/agents runs an agent with a tool, whose answer has a schema', async () => {
    const { Agent, Runner, OpenAIProvider, setTracingDisabled, tool } =
      await loadClient('@openai/agents')
    setTracingDisabled(true)
    const modelProvider = new OpenAIProvider({
      baseURL: `${server.url}/v1`,
      apiKey: 'none',
      useResponses: true,
    })
    const time = tool({
      name: 'get_time',
      description: 'the time',
      parameters,
      strict: true,
      execute: () => 'noon',
    })
    const agent = new Agent({
      name: 'clock',
      instructions: 'Be kind.',
      model: 'noisy',
      modelSettings: { temperature: 0, maxTokens: 60, toolChoice: 'none' },
      outputType: { type: 'json_schema', name: 'place', strict: true, schema: parameters },
      tools: [time],
    })
    const { finalOutput } = await new Runner({ modelProvider }).run(agent, 'A dog')
    expect(['Oslo', 'Rome']).toContain(finalOutput.city)
  })

  it('@openai/agents streams a run that calls a tool', async () => {
    const { Agent, Runner, OpenAIProvider, setTracingDisabled, tool } =
      await loadClient('@openai/agents')
    setTracingDisabled(true)
    const provider = { baseURL: `${server.url}/v1`, apiKey: 'none', useResponses: true }
    const asked: { city: string }[] = []
    const time = tool({
      name: 'get_time',
      description: 'the time',
      parameters,
      strict: true,
      execute: (given: { city: string }) => {
        asked.push(given)
        return 'noon'
      },
    })
    const agent = new Agent({
      name: 'clock',
      instructions: 'Be kind.',
      model: 'noisy',
      // the SDK takes an answer that was cut at its length for a failure
      toolUseBehavior: 'stop_on_first_tool',
      modelSettings: {
        temperature: 0,
        maxTokens: 300,
        toolChoice: 'get_time',
        parallelToolCalls: false,
      },
      tools: [time],
    })
    const runner = new Runner({ modelProvider: new OpenAIProvider(provider) })
    const run = await runner.run(agent, 'A dog', { stream: true, maxTurns: 3 })
    const seen = new Set<string>()
    for await (const event of run) if (event.type === 'run_item_stream_event') seen.add(event.name)
    await run.completed
    expect([...seen]).toEqual(expect.arrayContaining(['tool_called', 'tool_output']))
    expect(['Oslo', 'Rome']).toContain(asked[0]!.city)
    expect(run.finalOutput).toBe('noon')
  })

  it('@openai/agents runs a coder, a reviewer and a security agent over chat completions', async () => {
    const { Agent, Runner, OpenAIProvider, setTracingDisabled } = await loadClient('@openai/agents')
    setTracingDisabled(true)
    const modelProvider = new OpenAIProvider({
      baseURL: `${server.url}/v1`,
      apiKey: 'none',
      useResponses: false,
    })
    const { name: base } = await server.service.describe()
    const runner = new Runner({ modelProvider })
    const makeAgent = (name: string, model: string) =>
      new Agent({
        name,
        instructions: `You are the ${name}.`,
        model,
        modelSettings: { temperature: 0, maxTokens: 12 },
      })
    const { finalOutput: draft } = await runner.run(makeAgent('coder', 'noisy'), 'A dog')
    const [review, check] = await Promise.all([
      runner.run(makeAgent('reviewer', base), `Review: ${draft}`),
      runner.run(makeAgent('security', 'noisy:0.5'), `Check: ${draft}`),
    ])
    expect(new Set([draft, review.finalOutput, check.finalOutput]).size).toBe(3)
    expect(review.finalOutput.length).toBeGreaterThan(0)
  })

  describe('@anthropic-ai/sdk', () => {
    const open = async () => {
      const { Anthropic } = await loadClient('@anthropic-ai/sdk')
      return new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 })
    }
    const asked = {
      model: 'noisy',
      max_tokens: 12,
      temperature: 0,
      messages: [{ role: 'user', content: 'A dog' }],
    }

    it('answers whole and streamed with the same text, and counts', async () => {
      const client = await open()
      const { content, usage, stop_reason: reason } = await client.messages.create(asked)
      expect([content[0].text, reason]).toEqual([wanted, 'max_tokens'])
      const stream = client.messages.stream(asked)
      let text = ''
      stream.on('text', (part: string) => (text += part))
      const last = await stream.finalMessage()
      expect([text, last.content[0].text]).toEqual([wanted, wanted])
      const { max_tokens: _, temperature: __, ...counted } = asked
      const { input_tokens: count } = await client.messages.countTokens(counted)
      expect(count).toBe(usage.input_tokens + usage.cache_read_input_tokens)
    })

    it('calls a tool in a stream', async () => {
      const client = await open()
      const stream = client.messages.stream({
        ...asked,
        max_tokens: 300,
        tools: [{ name: 'get_time', input_schema: parameters }],
        tool_choice: { type: 'tool', name: 'get_time', disable_parallel_tool_use: true },
      })
      const { content, stop_reason: reason } = await stream.finalMessage()
      const call = content.find((one: { type: string }) => one.type === 'tool_use')
      expect([reason, ['Oslo', 'Rome'].includes(call.input.city)]).toEqual(['tool_use', true])
    })

    it('reads errors in its own form', async () => {
      const client = await open()
      const asking = client.messages.create({ ...asked, model: 'noisi' })
      await expect(asking).rejects.toMatchObject({ status: 404, type: 'not_found_error' })
    })
  })

  describe('ollama', () => {
    const open = async () => {
      const { Ollama } = await loadClient('ollama')
      return new Ollama({ host: server.url })
    }
    const options = { temperature: 0, num_predict: 12 }
    const messages = [{ role: 'user', content: 'A dog' }]

    it('chats whole and streamed, generates, embeds and lists', async () => {
      const client = await open()
      const { message } = await client.chat({ model: 'noisy', messages, options })
      expect(message.content).toBe(wanted)
      let streamed = ''
      for await (const part of await client.chat({
        model: 'noisy',
        messages,
        options,
        stream: true,
      }))
        streamed += part.message.content
      expect(streamed).toBe(wanted)
      const { response } = await client.generate({ model: 'noisy', prompt: 'A dog', options })
      expect(response).toBe(wanted)
      const { embeddings } = await client.embed({ model: 'noisy', input: ['a', 'b'] })
      expect(embeddings).toHaveLength(2)
      const { models } = await client.list()
      expect(models.map(({ name }: { name: string }) => name)).toEqual(['stories260k', 'noisy'])
    })

    it('streams after a tool was called, with the tools in the request', async () => {
      const client = await open()
      const call = { function: { name: 'get_time', arguments: { city: 'Oslo' } } }
      const asked = {
        model: 'noisy',
        messages: [
          ...messages,
          { role: 'assistant', content: '', tool_calls: [call] },
          { role: 'tool', tool_name: 'get_time', content: 'noon' },
        ],
        tools: [{ type: 'function', function: { name: 'get_time', description: '', parameters } }],
        options,
      }
      const { message } = await client.chat(asked)
      let streamed = ''
      for await (const part of await client.chat({ ...asked, stream: true }))
        streamed += part.message.content
      expect([streamed, message.content === '']).toEqual([message.content, false])
      expect(streamed).not.toBe(wanted)
    })

    it('reads errors in its own form', async () => {
      const client = await open()
      await expect(client.chat({ model: 'noisi', messages, stream: false })).rejects.toThrow(
        /noisy/,
      )
    })
  })
})
