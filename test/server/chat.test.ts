// /v1/chat/completions: what clients send and what must come back. The numbers in the names are
// those of the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

const path = '/v1/chat/completions'
const book = [
  { role: 'system', content: 'Book' },
  { role: 'user', content: 'Hey' },
]
const user = (content: unknown) => [{ role: 'user', content }]

let server: TestServer
beforeAll(async () => {
  server = await openTestServer({ aliases: ['gpt-4o-mini', 'stories:q4'] })
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 1))
})
afterAll(() => server.close())

const chat = (body: object) => ask(server, path, body)
const textOf = async (body: object): Promise<string> =>
  (await chat(body)).body.choices[0].message.content

describe('a chat completion', () => {
  it('1: has every field that clients read', async () => {
    const { status, body } = await chat({ messages: book, max_tokens: 8 })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      object: 'chat.completion',
      id: expect.stringContaining('cmpl'),
      model: 'stories260k',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: expect.any(String), refusal: null },
          finish_reason: 'length',
          logprobs: null,
        },
      ],
    })
    expect(Number.isInteger(body.created)).toBe(true)
  })

  it.each([
    ['Book', 'Hey', 8, 69],
    ['Book', 'What is the best book', 8, 77],
    ['You are a coding assistant.', 'Write the fibonacci function in c++.', 128, 104],
  ])('2: %s + %s at %i tokens reads %i', async (system, content, tokens, read) => {
    const messages = [{ role: 'system', content: system }, ...user(content)]
    const { usage } = (await chat({ messages, max_tokens: tokens })).body
    expect(usage.prompt_tokens).toBe(read)
    expect(usage.completion_tokens).toBeLessThanOrEqual(tokens)
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens)
  })

  it('3: a template that is plain text is applied, and nothing is added', async () => {
    const own = await openTestServer({ chatTemplate: 'This is not a chat template, it is' })
    const { body } = await ask(own, path, { messages: book, max_tokens: 2 })
    await own.close()
    expect(body.usage.prompt_tokens).toBe(23)
  })

  it('4: parts of text are joined by a line break', async () => {
    const content = ['What is', 'the best book'].map((text) => ({ type: 'text', text }))
    const messages = [book[0], ...user(content)]
    expect((await chat({ messages, max_tokens: 1 })).body.usage.prompt_tokens).toBe(79)
  })

  it('5: max_completion_tokens is max_tokens; both and different are refused', async () => {
    const { body } = await chat({ messages: book, max_completion_tokens: 3 })
    expect(body.usage.completion_tokens).toBe(3)
    const both = { messages: book, max_completion_tokens: 3, max_tokens: 4 }
    expect(await chat(both)).toMatchObject({
      status: 400,
      body: { error: { param: 'max_tokens', message: expect.stringMatching(/4.*3/) } },
    })
  })

  it('8: a stop string is not in the text', async () => {
    const whole = await textOf({ messages: book, max_tokens: 24, temperature: 0 })
    const stop = whole.slice(9, 13)
    const { body } = await chat({
      messages: book,
      max_tokens: 24,
      temperature: 0,
      stop: ['~~', stop],
    })
    expect(body.choices[0].message.content).toBe(whole.slice(0, whole.indexOf(stop)))
    expect(body.choices[0].finish_reason).toBe('stop')
  })

  it('9: the same seed gives the same text, others give others', async () => {
    const draw = (seed?: number) => textOf({ messages: book, max_tokens: 16, seed })
    expect(await draw(7)).toBe(await draw(7))
    const texts = await Promise.all([1, 2, 3, 4].map(draw))
    expect(new Set(texts).size).toBe(4)
    expect(await draw()).not.toBe(await draw())
    expect(await draw(2 ** 60)).toBe(await draw(2 ** 60))
    expect((await chat({ messages: book, seed: 1e30 })).body.error.param).toBe('seed')
  })

  it('10: n answers differ, and repeat with the seed', async () => {
    const ask3 = async () => (await chat({ messages: book, max_tokens: 12, n: 3, seed: 5 })).body
    const { choices, usage } = await ask3()
    expect(choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2])
    const texts = choices.map((one: { message: { content: string } }) => one.message.content)
    expect(new Set(texts).size).toBe(3)
    expect((await ask3()).choices).toEqual(choices)
    expect(usage).toMatchObject({ prompt_tokens: 69, completion_tokens: 36 })
  })

  it('11: a bias of -100 keeps a token out; a token that there is not is refused', async () => {
    const { tokenizer } = server.model.base
    const banned = server.model.encode(' big Tim mom dog he she was the').slice(1)
    const bias = Object.fromEntries(banned.map((id) => [id, -100]))
    const asked = { prompt: 'Once', max_tokens: 100, ignore_eos: true, logit_bias: bias, seed: 1 }
    const { body } = await ask(server, '/v1/completions', { ...asked, logprobs: 0 })
    const written = body.choices[0].logprobs.tokens
    const front = tokenizer!.decode([banned[0]!])
    const texts = banned.map((id) => tokenizer!.decode([banned[0]!, id]).slice(front.length))
    expect(written).toHaveLength(100)
    expect(written.filter((token: string) => texts.includes(token))).toEqual([])
    const wrong = await chat({ messages: book, logit_bias: { 99999: 1 } })
    expect(wrong).toMatchObject({ status: 400, body: { error: { param: 'logit_bias.99999' } } })
  })

  it('12: further fields of a message are let through', async () => {
    const messages = [{ role: 'user', content: 'Hey', name: 'ada', annotations: [], refusal: null }]
    expect((await chat({ messages, max_tokens: 1 })).status).toBe(200)
  })

  it('13: an assistant message at the end is continued; two are refused', async () => {
    const begun = { role: 'assistant', content: 'Once upon a time' }
    const messages = [...user('Tell'), begun]
    const { body } = await ask(server, '/apply-template', { messages })
    expect(body.prompt).toMatch(/<\|im_start\|>assistant\nOnce upon a time$/)
    expect((await chat({ messages, max_tokens: 4, temperature: 0 })).status).toBe(200)
    const twice = await chat({ messages: [...messages, begun] })
    expect(twice).toMatchObject({ status: 400, body: { error: { param: 'messages.2.role' } } })
  })

  it('17: a prompt over the context is 400 with both numbers, streamed or not', async () => {
    for (const streamed of [false, true]) {
      const { status, body } = await chat({ messages: user('x'.repeat(2000)), stream: streamed })
      expect([status, body.error.code]).toEqual([400, 'context_length_exceeded'])
      expect(body.error.n_prompt_tokens).toBeGreaterThan(512)
      expect(body.error.n_ctx).toBe(512)
    }
  })

  it('19: more tokens than there is room for are clipped', async () => {
    const { body } = await chat({
      messages: user('x'.repeat(440)),
      max_tokens: 5000,
      ignore_eos: true,
    })
    expect(body.choices[0].finish_reason).toBe('length')
    expect(body.usage.total_tokens).toBe(512)
  })

  it('64: the second of two equal prompts comes from the cache, and the text is equal', async () => {
    const asked = {
      messages: user('Once there was a dog. '.repeat(4)),
      max_tokens: 8,
      temperature: 0,
    }
    const [first, second] = [await chat(asked), await chat(asked)].map(({ body }) => body)
    expect(second.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(16)
    expect(second.choices).toEqual(first.choices)
  })
})

describe('wrong requests', () => {
  const messages = book
  it.each([
    [{ messages, temperature: 2.1 }, 'temperature'],
    [{ messages, temperature: -1 }, 'temperature'],
    [{ messages, top_p: 1.1 }, 'top_p'],
    [{ messages, presence_penalty: 3 }, 'presence_penalty'],
    [{ messages, frequency_penalty: -3 }, 'frequency_penalty'],
    [{ messages, n: 0 }, 'n'],
    [{ messages, n: 129 }, 'n'],
    [{ messages: [] }, 'messages'],
    [{ messages, logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ messages, top_logprobs: 2 }, 'top_logprobs'],
    [{ messages, prompt_logprobs: -1 }, 'prompt_logprobs'],
    [{ messages: null }, 'messages'],
    [{ messages: 'string' }, 'messages'],
    [{ messages: [123] }, 'messages.0'],
    [{ messages: [{}] }, 'messages.0.role'],
    [{ messages: [{ role: 123, content: 'a' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user', content: 123 }] }, 'messages.0.content'],
    [{ messages: [...book, {}] }, 'messages.2.role'],
    [{ messages: [...book, { role: 'user' }] }, 'messages.2.content'],
    [
      { messages: user([{ type: 'image_url', image_url: { url: 'a' } }]) },
      'messages.0.content.0.type',
    ],
    [{ messages, stream: false, stream_options: { include_usage: true } }, 'stream_options'],
    [
      { messages, stream: true, stream_options: { include_usge: true } },
      'stream_options.include_usge',
    ],
    [{ messages, stop: '' }, 'stop'],
    [{ messages, response_format: { type: 'sound' } }, 'response_format.type'],
    [{ messages, response_format: { type: 'json_schema' } }, 'response_format.json_schema.schema'],
    [
      { messages, response_format: { type: 'json_schema', json_schema: { schema: 123 } } },
      'response_format.json_schema.schema',
    ],
    [{ messages, tool_choice: 'auto' }, 'tool_choice'],
    [{ messages, tool_choice: {} }, 'tool_choice'],
    [{ messages, tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools'],
    [
      {
        messages,
        tools: Array.from({ length: 129 }, (_, i) => ({
          type: 'function',
          function: { name: `f${i}` },
        })),
      },
      'tools',
    ],
    [{ messages, tempreature: 1 }, 'tempreature'],
    [{ messages, functions: [{ name: 'a' }] }, 'functions'],
    [{ messages, store: true }, 'store'],
    [{ messages, verbosity: 'low' }, 'verbosity'],
    [
      { messages, chat_template_kwargs: { enable_thinking: false } },
      'chat_template_kwargs.enable_thinking',
    ],
    [{ messages, min_tokens: 9, max_tokens: 8 }, 'min_tokens'],
  ] as [object, string][])(
    '7, 14, 16, 27, 36, 37, 40, 43, 49, 54: case %# is 400',
    async (body, param) => {
      const { status, body: answer } = await chat(body)
      expect([status, answer.error.param]).toEqual([400, param])
      expect(answer.error.message.length).toBeGreaterThan(10)
      expect(answer.error.type).toBe('invalid_request_error')
    },
  )

  it('37: the server goes on after them', async () => {
    expect((await chat({ messages, max_tokens: 1 })).status).toBe(200)
  })

  it('takes null and neutral values of fields without effect', async () => {
    const neutral = {
      store: false,
      metadata: {},
      service_tier: 'auto',
      modalities: ['text'],
      audio: null,
    }
    expect((await chat({ messages, max_tokens: 1, stop: null, ...neutral })).status).toBe(200)
  })
})

describe('who answers', () => {
  const asked = { messages: book, max_tokens: 30, temperature: 0 }
  it.each([
    ['stories260k', 'base'],
    ['gpt-4o-mini', 'base'],
    ['base', 'base'],
    ['stories260k:', 'base'],
    [' stories260k : noisy ', 'noisy'],
    ['stories260k:noisy', 'noisy'],
    ['stories:q4:noisy', 'noisy'],
    ['noisy', 'noisy'],
    ['noisy:1', 'noisy'],
    ['noisy:0', 'base'],
    ['stories260k:noisy:0', 'base'],
  ])('89: %s is answered by %s', async (model, name) => {
    const expected = await textOf({ ...asked, model: name })
    const { body } = await chat({ ...asked, model })
    expect(body.choices[0].message.content).toBe(expected)
    expect(body.model).toBe(model.trim())
  })

  it('89: a number after a colon is a weight', async () => {
    const half = await textOf({ ...asked, model: 'noisy:0.5' })
    expect(half).toBe(await textOf({ ...asked, model: 'stories260k:noisy:0.5' }))
    expect(half).toBe(await textOf({ ...asked, lora: [{ id: 0, scale: 0.5 }] }))
    const [base, noisy] = [await textOf(asked), await textOf({ ...asked, model: 'noisy' })]
    expect(noisy).not.toBe(base)
  })

  it('a weight that makes NaN of the logits is refused by name', async () => {
    const { status, body } = await chat({ messages: book, max_tokens: 4, model: 'noisy:1e38' })
    expect([status, body.error.code]).toEqual([400, 'not_finite'])
    expect((await chat({ ...asked, lora: [{ id: 0, scale: 1e38 }] })).body.error.param).toBe('lora')
  })

  it('74: the nearest name is said', async () => {
    const { body } = await chat({ ...asked, model: 'nosy' })
    expect(body.error.message).toContain('Did you mean "noisy"?')
  })

  it('a prompt for another route is told apart from a spelling mistake', async () => {
    const { status, body } = await chat({ prompt: 'Once' })
    expect(status).toBe(400)
    expect(body.error.message).toBe(
      'there is no parameter "prompt" here: this route takes messages, /v1/completions takes prompt; messages is missing.',
    )
  })

  it.each(['nosy', 'a:b', 'a:', ':a', '', 'noisy+nosy', 'stories260k:nosy', 'gpt-3.5-turbo'])(
    '74: %j is never the base',
    async (model) => {
      const { status, body } = await chat({ ...asked, model })
      expect([400, 404]).toContain(status)
      expect(body.error.param).toBe('model')
    },
  )
})
