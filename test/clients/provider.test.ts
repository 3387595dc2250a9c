// The AI SDK over a service of this process: createAiProvider, without a socket.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine, loadModel, type LoadedModel } from '../../src/node/index.ts'
import { createAiProvider, createService, type Service } from '../../src/server/index.ts'
import { createNoisyExpert } from '../support/server.ts'
import { areInstalled, loadClient } from './load-client.ts'

const title = areInstalled
  ? 'createAiProvider'
  : 'createAiProvider [skip: not installed; npm test installs them, or npm ci in test/clients]'

describe.skipIf(!areInstalled)(title, () => {
  let model: LoadedModel
  let service: Service
  let graft: ReturnType<typeof createAiProvider>
  beforeAll(async () => {
    model = await loadModel('stories260k')
    const experts = [{ name: 'noisy', expert: createNoisyExpert(model, 5) }]
    service = await createService({ model, engine: createEngine({ model }), experts })
    graft = createAiProvider({ service })
  })
  afterAll(() => model.dispose())
  const asked = { prompt: 'A dog', maxOutputTokens: 12, temperature: 0 }

  it('generates and streams the same text, with usage and the answering expert', async () => {
    const { generateText, streamText } = await loadClient('ai')
    const whole = await generateText({ ...asked, model: graft('noisy') })
    const stream = streamText({ ...asked, model: graft('noisy') })
    let streamed = ''
    for await (const part of stream.textStream) streamed += part
    expect(streamed).toBe(whole.text)
    expect(whole.text.length).toBeGreaterThan(0)
    expect(whole.finishReason).toBe('length')
    expect(whole.usage).toMatchObject({ outputTokens: 12 })
    expect(whole.usage.inputTokens).toBeGreaterThan(5)
    expect(await stream.usage).toMatchObject({ outputTokens: 12 })
    expect(whole.providerMetadata.graft).toMatchObject({ expert: 'noisy' })
    expect(whole.providerMetadata.graft.responseId).toMatch(/^chatcmpl-/)
    const base = await generateText({ ...asked, model: graft('stories260k') })
    expect(base.text).not.toBe(whole.text)
    expect(base.providerMetadata.graft.expert).toBeNull()
  })

  it('answers with what the service answers to the same chat', async () => {
    const { generateText } = await loadClient('ai')
    const messages = [
      { role: 'system' as const, content: 'Be kind.' },
      { role: 'user' as const, content: 'A dog' },
    ]
    const own = { min_tokens: 12, logit_bias: { 300: -50 } }
    const { text } = await generateText({
      model: graft('noisy'),
      system: 'Be kind.',
      prompt: 'A dog',
      maxOutputTokens: 12,
      temperature: 0.8,
      seed: 7,
      stopSequences: ['qqq'],
      providerOptions: { graft: own },
    })
    let expected = ''
    const events = service.generate({
      model: 'noisy',
      conversation: { messages },
      copies: 1,
      maxTokens: 12,
      minTokens: 12,
      sampling: { temperature: 0.8, topP: 1, logitBias: own.logit_bias },
      seed: 7,
      stop: ['qqq'],
    })
    for await (const event of events) if (event.type === 'delta') expected += event.text ?? ''
    expect(text).toBe(expected)
  })

  it('gives an object of a schema', async () => {
    const { generateText, Output } = await loadClient('ai')
    const { z } = await loadClient('zod')
    const schema = z.object({ colour: z.enum(['red', 'blue']), size: z.number().int() })
    const { output } = await generateText({
      model: graft('noisy'),
      prompt: 'A ball',
      output: Output.object({ schema }),
      maxOutputTokens: 80,
    })
    expect(schema.safeParse(output).success).toBe(true)
  })

  it('embeds through the expert, as the service does', async () => {
    const { embed, embedMany } = await loadClient('ai')
    const { embedding } = await embed({ model: graft.embeddingModel('noisy'), value: 'a cat' })
    const { vectors } = await service.embed({ model: 'noisy', inputs: ['a cat', 'a dog'] })
    expect(embedding).toEqual([...vectors[0]!])
    const values = ['a cat', 'a dog']
    const many = await embedMany({ model: graft.embeddingModel('noisy'), values })
    expect(many.embeddings).toHaveLength(2)
    expect(many.usage.tokens).toBeGreaterThan(4)
  })

  it('calls tools, takes their results, and answers: whole and streamed', async () => {
    const { generateText, isStepCount, stepCountIs, streamText, tool } = await loadClient('ai')
    const { z } = await loadClient('zod')
    const cities: string[] = []
    const weather = tool({
      description: 'The weather of a city',
      inputSchema: z.object({ city: z.enum(['Oslo', 'Rome']) }),
      execute: async ({ city }: { city: string }) => {
        cities.push(city)
        return { degrees: 21 }
      },
    })
    const call = {
      model: graft('stories260k'),
      prompt: 'Weather?',
      tools: { weather },
      maxOutputTokens: 120,
      temperature: 0,
      providerOptions: { graft: { parallel_tool_calls: false } },
      stopWhen: (stepCountIs ?? isStepCount)(2),
      prepareStep: ({ stepNumber }: { stepNumber: number }) => ({
        toolChoice: stepNumber === 0 ? 'required' : 'none',
      }),
    }
    const { steps, text } = await generateText(call)
    expect(steps[0].toolCalls[0].toolName).toBe('weather')
    expect(steps[0].finishReason).toBe('tool-calls')
    expect(steps[0].toolResults[0].output).toEqual({ degrees: 21 })
    const streamed = streamText(call)
    expect(await streamed.text).toBe(text)
    const [first] = await streamed.steps
    expect(first.toolCalls[0].input).toEqual(steps[0].toolCalls[0].input)
    expect(['Oslo', 'Rome']).toContain(cities[0])
  })

  it('throws what the route refuses, and does not ask again', async () => {
    const { generateText } = await loadClient('ai')
    await expect(generateText({ ...asked, model: graft('nois') })).rejects.toThrow(/noisy/)
    await expect(generateText({ ...asked, model: graft('noisy'), temperature: 9 })).rejects.toThrow(
      'temperature: got 9',
    )
    await expect(
      generateText({
        ...asked,
        model: graft('noisy'),
        providerOptions: { graft: { min_P: 1 } },
      }),
    ).rejects.toThrow(/no parameter "min_P".*min_p/)
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array([1, 2]) }
    const messages = [{ role: 'user', content: [image] }]
    await expect(generateText({ model: graft('noisy'), messages })).rejects.toThrow(
      /prompt\.0\.content\.0: got .*image\/png.*reads text only/,
    )
  })

  it('frees the sequence of a call that is left', async () => {
    const { streamText } = await loadClient('ai')
    const leave = new AbortController()
    const call = { model: graft('noisy'), prompt: 'A dog', maxOutputTokens: 400, temperature: 0 }
    const { textStream } = streamText({ ...call, abortSignal: leave.signal, onError: () => {} })
    for await (const _ of textStream) leave.abort()
    await expect.poll(async () => (await service.stats()).running).toBe(0)
  })

  it('warns of tools that only their provider can run, and of fields the call says itself', async () => {
    const { warnings } = await graft('noisy').doGenerate({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'A dog' }] }],
      maxOutputTokens: 2,
      tools: [{ type: 'provider', id: 'openai.web_search', name: 'search' }],
      providerOptions: { graft: { n: 3 } },
    })
    expect(warnings.map(({ feature }) => feature).sort()).toEqual([
      'providerOptions.graft.n',
      'the tool openai.web_search of a provider',
    ])
  })
})
