// /v1/completions, /v1/embeddings, /v1/models and tokens. Numbers: the list of behaviours that the
// server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ask,
  createNoisyExpert,
  openTestServer,
  parseRecords,
  type TestServer,
} from '../support/server.ts'

const path = '/v1/completions'
const meaning = 'I believe the meaning of life is'

let server: TestServer
beforeAll(async () => {
  server = await openTestServer()
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 1))
})
afterAll(() => server.close())

const complete = async (body: object) => (await ask(server, path, body)).body

describe('a completion', () => {
  it('55: has OpenAI’s form, and 16 tokens unless more are asked for', async () => {
    const body = await complete({ prompt: meaning })
    expect(body).toMatchObject({
      object: 'text_completion',
      id: expect.stringContaining('cmpl-'),
      choices: [{ index: 0, text: expect.any(String), logprobs: null, finish_reason: 'length' }],
      usage: { completion_tokens: 16 },
    })
  })

  it('56: reads and writes the known tokens, and the server’s own limit holds', async () => {
    const body = await complete({ prompt: meaning, max_tokens: 8, temperature: 0 })
    expect(body.usage).toMatchObject({ prompt_tokens: 18, completion_tokens: 8 })
    const longer = await complete({ prompt: meaning, max_tokens: 20, temperature: 0 })
    expect(longer.choices[0].text).toMatch(/^ ?a big, small box\. It/)
    const capped = await openTestServer({ maxTokens: 64 })
    const { body: cut } = await ask(capped, path, { prompt: meaning, max_tokens: 256 })
    await capped.close()
    expect(cut.usage.completion_tokens).toBe(64)
  })

  it('tries tokens ahead where it is asked to, here and at llama.cpp’s route', async () => {
    const prompt = `${'The cat. '.repeat(8)}The`
    const count = (): number => server.engine.stats().draftedTokens
    const before = count()
    const plain = await complete({ prompt, max_tokens: 30, temperature: 0 })
    expect(count()).toBe(before)
    const ahead = await complete({ prompt, max_tokens: 30, temperature: 0, speculate: true })
    expect(ahead.choices).toEqual(plain.choices)
    const between = count()
    expect(between).toBeGreaterThan(before)
    const native = { prompt, n_predict: 30, temperature: 0, speculate: true }
    await ask(server, '/completion', native)
    expect(count()).toBeGreaterThan(between)
    const { status, body } = await ask(server, path, { prompt, speculate: 'yes' })
    expect([status, body.error.param]).toEqual([400, 'speculate'])
  })

  it('57: token ids are as the text; lists are answered in order, n answers each', async () => {
    const ids = server.model.encode(meaning)
    const greedy = { max_tokens: 6, temperature: 0 }
    const [text] = (await complete({ prompt: meaning, ...greedy })).choices
    expect((await complete({ prompt: ids, ...greedy })).choices[0]).toEqual(text)
    const { choices, usage } = await complete({ prompt: ['Once', ids, 'Tom'], ...greedy })
    expect(choices.map((one: { index: number }) => one.index)).toEqual([0, 1, 2])
    expect(choices[1].text).toBe(text.text)
    expect(usage.completion_tokens).toBe(18)
    const twice = await complete({ prompt: ['Once', 'Tom'], n: 2, seed: 1, max_tokens: 5 })
    expect(twice.choices.map((one: { index: number }) => one.index)).toEqual([0, 1, 2, 3])
    const all = await complete({ prompt: [ids, ids], ...greedy })
    expect(all.choices.map((one: { text: string }) => one.text)).toEqual([text.text, text.text])
  })

  it('59: echo begins with the prompt, streamed as well', async () => {
    const asked = { prompt: meaning, echo: true, temperature: 0, max_tokens: 5 }
    const { choices } = await complete(asked)
    expect(choices[0].text.startsWith(meaning)).toBe(true)
    expect((await complete({ ...asked, max_tokens: 0 })).choices[0].text).toBe(meaning)
    const records = parseRecords((await complete({ ...asked, stream: true })) as string)
    const text = records
      .flatMap((one) => one.choices ?? [])
      .map((one) => one.text)
      .join('')
    expect(text).toBe(choices[0].text)
  })

  it('60: logprobs has lists next to each other', async () => {
    for (const count of [0, 5]) {
      const { choices } = await complete({ prompt: meaning, logprobs: count, temperature: 0 })
      const {
        tokens,
        token_logprobs: values,
        top_logprobs: top,
        text_offset: offsets,
      } = choices[0].logprobs
      expect([tokens, values, top, offsets].map(({ length }) => length)).toEqual([16, 16, 16, 16])
      for (const one of top) {
        expect(Object.keys(one).length).toBeGreaterThanOrEqual(Math.max(1, count - 1))
        expect(Object.keys(one).length).toBeLessThanOrEqual(count + 1)
      }
      expect(offsets.slice(0, 2)).toEqual([0, tokens[0].length])
    }
  })

  it('62: lm-eval’s request sums to our own scorer’s numbers, base and expert', async () => {
    const { model } = server
    const texts = ['Once upon a time there was a dog.', 'Lily likes cats.']
    const rows = texts.map((text) => model.encode(text))
    for (const name of [undefined, 'noisy']) {
      const adapter = name ? (await server.engine.experts.find(name)).expert : undefined
      const { choices } = await complete({
        ...(name && { model: name }),
        prompt: rows,
        echo: true,
        logprobs: 1,
        max_tokens: 1,
        temperature: 0,
        seed: 1234,
      })
      for (const [i, ids] of rows.entries()) {
        const { token_logprobs: values, top_logprobs: top } = choices[i].logprobs
        expect([values.length, values[0], top[0]]).toEqual([ids.length + 1, null, null])
        const sum = values
          .slice(1, ids.length)
          .reduce((total: number, one: number) => total + one, 0)
        const labels = ids.map((id, t) => (t === 0 ? -100 : id))
        const loss = await model.loss([ids], [labels], adapter ? { adapter } : {})
        expect(Math.abs(sum + loss * (ids.length - 1))).toBeLessThan(1e-3)
        expect(Math.max(...(Object.values(top[1]) as number[]))).toBeGreaterThanOrEqual(values[1])
      }
    }
  })

  it('the answer is streamed with usage', async () => {
    const asked = { prompt: ['Once', 'Tom'], temperature: 0, max_tokens: 7 }
    const whole = await complete(asked)
    const text = await complete({ ...asked, stream: true, stream_options: { include_usage: true } })
    const records = parseRecords(text as string)
    expect(records.at(-1)).toBe('[DONE]')
    expect(records.at(-2)).toMatchObject({ choices: [], usage: { completion_tokens: 14 } })
    for (const index of [0, 1]) {
      const own = records.flatMap((one) => one.choices ?? []).filter((one) => one.index === index)
      expect(own.map((one) => one.text).join('')).toBe(whole.choices[index].text)
      expect(own.filter((one) => one.finish_reason !== null)).toHaveLength(1)
    }
  })

  it.each([
    [{ prompt: [99999] }, 'prompt'],
    [{ prompt: [-1] }, 'prompt'],
    [{ prompt: [1.5] }, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: ['a', ''] }, 'prompt'],
    [{ prompt: `${meaning} `.repeat(32) }, 'prompt'],
    [{ prompt: ['a', 'b '.repeat(600)] }, 'prompt.1'],
    [{}, 'prompt'],
    [{ prompt: 'a', logprobs: 21 }, 'logprobs'],
    [{ prompt: 'a', best_of: 3 }, 'best_of'],
    [{ prompt: 'a', suffix: 'b' }, 'suffix'],
    [{ prompt: 'a', n: 5, best_of: 2 }, 'best_of'],
    [{ prompt: 'a', n: 2, best_of: 1 }, 'best_of'],
    [{ prompt: 'a', stream_options: {} }, 'stream_options'],
  ] as [object, string][])('58, 63, 65: case %# is 400', async (body, param) => {
    const { status, body: answer } = await ask(server, path, body)
    expect([status, answer.error.param]).toEqual([400, param])
  })
})

describe('embeddings', () => {
  const embed = async (body: object) => ask(server, '/v1/embeddings', body)
  const vectorOf = async (body: object): Promise<number[]> =>
    (await embed(body)).body.data[0].embedding

  it('66, 67: one vector of length 1 for each input, alone or in a batch', async () => {
    const input = ['a dog', 'a longer text about a cat', 'a dog']
    const { body } = await embed({ input })
    expect(body).toMatchObject({
      object: 'list',
      data: input.map((_, index) => ({ object: 'embedding', index })),
    })
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens)
    const [first, , third] = body.data.map((one: { embedding: number[] }) => one.embedding)
    expect(Math.hypot(...first)).toBeCloseTo(1, 3)
    expect(first).toEqual(third)
    const alone = await vectorOf({ input: 'a dog' })
    expect(Math.max(...alone.map((value, i) => Math.abs(value - first[i])))).toBeLessThan(1e-3)
  })

  it('68: base64 holds the same values', async () => {
    const floats = await vectorOf({ input: 'a dog' })
    const { body } = await embed({ input: 'a dog', encoding_format: 'base64' })
    const bytes = Buffer.from(body.data[0].embedding, 'base64')
    const values = floats.map((_, i) => bytes.readFloatLE(i * 4))
    expect(values).toEqual(floats)
  })

  it('69: token ids are as the text; an expert gives its own', async () => {
    const floats = await vectorOf({ input: 'a dog' })
    expect(await vectorOf({ input: server.model.encode('a dog') })).toEqual(floats)
    expect((await embed({ input: [server.model.encode('a dog'), [5, 6]] })).body.data).toHaveLength(
      2,
    )
    const noisy = await vectorOf({ input: 'a dog', model: 'noisy' })
    expect(Math.max(...noisy.map((value, i) => Math.abs(value - floats[i]!)))).toBeGreaterThan(0.01)
  })

  it.each([
    [{ input: [] }, 'input'],
    [{ input: '' }, 'input'],
    [{ input: Array.from({ length: 2049 }, () => 'a') }, 'input'],
    [{ input: 'a', dimensions: 0 }, 'dimensions'],
    [{ input: 'a', dimension: 4 }, 'dimension'],
    [{ input: 'b '.repeat(600) }, 'input.0'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
  ] as [object, string][])('69, 70: case %# is 400', async (body, param) => {
    const { status, body: answer } = await embed(body)
    expect([status, answer.error.param]).toEqual([400, param])
  })

  it('74: an unknown expert is 404', async () => {
    expect((await embed({ input: 'a', model: 'nobody' })).status).toBe(404)
  })
})

describe('models', () => {
  it('72: the base first, experts with their parent', async () => {
    const { body } = await ask(server, '/v1/models')
    expect(body).toMatchObject({
      object: 'list',
      data: [
        { id: 'stories260k', object: 'model', parent: null },
        { id: 'noisy', object: 'model', parent: 'stories260k' },
      ],
    })
  })

  it('73: one model, or 404 with the nearest', async () => {
    expect((await ask(server, '/v1/models/noisy')).body).toMatchObject({ id: 'noisy' })
    const { status, body } = await ask(server, '/v1/models/noisi')
    expect([status, body.error.code]).toEqual([404, 'model_not_found'])
    expect(body.error.message).toContain('Did you mean "noisy"?')
  })
})

describe('tokens', () => {
  it('vLLM’s and llama.cpp’s forms', async () => {
    const ids = server.model.encode('Once upon')
    const { body } = await ask(server, '/tokenize', {
      prompt: 'Once upon',
      return_token_strs: true,
    })
    expect(body).toMatchObject({ tokens: ids, count: ids.length, max_model_len: 512 })
    expect(body.token_strs).toHaveLength(ids.length)
    const plain = await ask(server, '/tokenize', { content: 'Once upon' })
    expect(plain.body.tokens).toEqual(ids.slice(1))
    const pieces = await ask(server, '/tokenize', { content: 'Once upon', with_pieces: true })
    expect(pieces.body.tokens[0]).toEqual({ id: ids[1], piece: expect.any(String) })
    const text = await ask(server, '/detokenize', { tokens: ids.slice(1) })
    expect(text.body).toEqual({ prompt: 'Once upon', content: 'Once upon' })
    expect((await ask(server, '/tokenizer_info')).body).toMatchObject({
      bos_token: '<s>',
      eos_token: '</s>',
    })
    expect((await ask(server, '/tokenize', {})).status).toBe(400)
    expect((await ask(server, '/detokenize', { tokens: [1e6] })).status).toBe(400)
  })
})
