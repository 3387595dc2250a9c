// Which experts answer, and when: fades and sums by name, LoRAX's list, experts with tokens of
// their own, pins, and fairness. Numbers: the list of behaviours that the server is built to.

import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/index.ts'
import { f32 } from '../../src/base/tensor.ts'
import { createAdapter } from '../../src/node/index.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await openTestServer()
  for (const [i, name] of ['one', 'two'].entries())
    await server.engine.registerAdapter(name, createNoisyExpert(server.model, i + 1))
  await server.engine.registerAdapter('named', await createNamingExpert(server))
})
afterAll(() => server.close())

const complete = async (more: object, to: TestServer = server) =>
  ask(to, '/v1/completions', {
    prompt: 'Once upon a time',
    max_tokens: 24,
    temperature: 0,
    ...more,
  })
const write = async (more: object): Promise<string> => {
  const { status, body } = await complete(more)
  expect(status).toBe(200)
  return body.choices[0].text
}

/** An expert of one trained row, whose own tokenizer calls it <name>. */
async function createNamingExpert({ model }: TestServer): Promise<Adapter> {
  const place = new URL('../../src/catalogue/models/stories260k/tokenizer.json', import.meta.url)
  const json = JSON.parse(await readFile(place, 'utf8'))
  const [spare] = Object.entries(json.model.vocab).find(([, id]) => id === 511)!
  delete json.model.vocab[spare]
  json.model.merges = json.model.merges.filter(
    (pair: string | string[]) => [pair].flat().join('').replace(' ', '') !== spare,
  )
  json.added_tokens.push({ ...json.added_tokens[0], id: 511, content: '<name>', special: false })
  const made = await createAdapter('trainable-tokens', { trainableTokens: [511] }, model)
  const tensors = [...made.tensors].map(([key, { shape, data }]) => {
    const values = (data as Float32Array).map((value, i) => value + Math.sin(i))
    return [key, f32(shape, values)] as const
  })
  const files = new Map([['tokenizer.json', new TextEncoder().encode(JSON.stringify(json))]])
  return { ...made, tensors: new Map(tensors), text: { files } }
}

describe('a fade as model', () => {
  it('is the first expert until its token, the second from there on', async () => {
    const one = await write({ model: 'one', logprobs: 0 })
    const both = await complete({ model: 'one>8>two', logprobs: 0 })
    expect([both.status, both.body.model]).toEqual([200, 'one>8>two'])
    const { choices } = both.body
    const first = choices[0].logprobs.tokens.slice(0, 8).join('')
    expect(one.startsWith(first)).toBe(true)
    expect(choices[0].text).not.toBe(one)
    expect(choices[0].text).not.toBe(await write({ model: 'two' }))
  })

  it('is the same streamed, and over a stretch of tokens', async () => {
    const model = 'one>4-12>two'
    const whole = await write({ model })
    const asked = { model, prompt: 'Once upon a time', max_tokens: 24, temperature: 0 }
    const { body } = await ask(server, '/v1/completions', { ...asked, stream: true })
    const texts = String(body)
      .split('\n\n')
      .filter((record) => record.startsWith('data: {'))
      .map((record) => JSON.parse(record.slice(6)).choices[0]?.text ?? '')
    expect(texts.join('')).toBe(whole)
  })

  it('names the expert that is missing, and the place that is wrong', async () => {
    const missing = await complete({ model: 'one>8>tow' })
    expect([missing.status, missing.body.error.param]).toEqual([404, 'model'])
    expect(missing.body.error.message).toContain('"two"')
    const wrong = await complete({ model: 'one>x>two' })
    expect([wrong.status, wrong.body.error.param]).toEqual([400, 'model'])
  })
})

describe('96: merged_adapters', () => {
  const merged = { ids: ['one', 'two'], weights: [0.7, 0.3] }
  it('are the sum that the name writes, in chats too', async () => {
    const named = await write({ model: 'one:0.7+two:0.3' })
    const strategy = { merge_strategy: 'linear', density: 0, majority_sign_method: 'total' }
    expect(await write({ merged_adapters: merged })).toBe(named)
    expect(await write({ model: 'base', merged_adapters: { ...merged, ...strategy } })).toBe(named)
    expect(named).not.toBe(await write({ model: 'one' }))
    const messages = [{ role: 'user', content: 'A dog' }]
    const chat = async (more: object) => {
      const asked = { messages, max_tokens: 12, temperature: 0, ...more }
      return (await ask(server, '/v1/chat/completions', asked)).body.choices[0].message.content
    }
    expect(await chat({ merged_adapters: merged })).toBe(await chat({ model: 'one:0.7+two:0.3' }))
    expect(await write({ merged_adapters: { ids: ['one', 'two'] } })).toBe(
      await write({ model: 'one+two' }),
    )
  })

  it.each([
    [{ ids: ['one', 'two'], weights: [1] }, 400, 'merged_adapters.weights'],
    [{ weights: [1] }, 400, 'merged_adapters.ids'],
    [{ ids: [] }, 400, 'merged_adapters.ids'],
    [{ ...merged, merge_strategy: 'ties' }, 400, 'merged_adapters.merge_strategy'],
    [{ ...merged, merge_strategy: 'sum' }, 400, 'merged_adapters.merge_strategy'],
    [{ ...merged, density: 0.5 }, 400, 'merged_adapters.density'],
    [{ ...merged, majority_sign_method: 'frequency' }, 400, 'merged_adapters.majority_sign_method'],
    [{ ...merged, wieghts: [1] }, 400, 'merged_adapters.wieghts'],
    [{ ids: ['one', 'twoo'] }, 404, 'model'],
  ])('%j: %i, %s', async (given, status, param) => {
    const { status: got, body } = await complete({ merged_adapters: given })
    expect([got, body.error.param]).toEqual([status, param])
  })

  it('beside another choice are 400', async () => {
    for (const more of [{ model: 'one' }, { lora: [{ id: 0, scale: 1 }] }]) {
      const { status, body } = await complete({ merged_adapters: merged, ...more })
      expect([status, body.error.param]).toEqual([400, 'merged_adapters'])
    }
  })
})

describe('94: an expert with its own token', () => {
  const ids = async (model: string, prompt: string): Promise<readonly number[]> =>
    (await ask(server, '/tokenize', { model, prompt, add_special_tokens: false })).body.tokens

  it('reads it and writes it, and nobody else does', async () => {
    expect(await ids('named', '<name>')).toContain(511)
    expect(await ids('base', '<name>')).not.toContain(511)
    expect(await ids('one', '<name>')).not.toContain(511)
    const forced = { logit_bias: { 511: 100 }, max_tokens: 3 }
    expect(await write({ model: 'named', ...forced })).toBe('<name><name><name>')
    expect(await write({ model: 'one', ...forced })).not.toContain('<name>')
    const back = await ask(server, '/detokenize', { model: 'named', tokens: [511] })
    expect(back.body.prompt).toContain('<name>')
  })

  it('acts by its row: the prompt reads otherwise, and other prompts as of the base', async () => {
    const prompt = [1, 511, 300]
    expect(await write({ model: 'named', prompt })).not.toBe(await write({ prompt }))
    const plain = { max_tokens: 6, logit_bias: { 511: -100 } }
    expect(await write({ model: 'named', ...plain })).toBe(await write(plain))
  })

  it('in one batch with others is as alone', async () => {
    const asked = [{ model: 'named', prompt: 'a <name>' }, { model: 'one' }, {}]
    const alone = []
    for (const one of asked) alone.push(await write(one))
    expect(await Promise.all([...asked, ...asked].map(write))).toEqual([...alone, ...alone])
  })

  it('cannot be summed with one that reads text otherwise', async () => {
    const { status, body } = await complete({ model: 'named+one' })
    expect([status, body.error.message]).toEqual([400, expect.stringMatching(/tokenizer|token/)])
  })
})

describe('90: pins', () => {
  it('leave room for one more expert, and hold', async () => {
    const small = await openTestServer({
      engineOptions: { expertBytes: 3 * server.engine.experts.countSlotBytes('one') },
    })
    const names = ['a', 'b', 'c', 'd']
    for (const [i, name] of names.entries())
      await small.engine.registerAdapter(name, createNoisyExpert(small.model, i + 1))
    const pin = (name: string) => ask(small, `/v1/experts/${name}/pin`, {})
    expect([(await pin('a')).status, (await pin('b')).status]).toEqual([200, 200])
    expect((await pin('a')).body.pinned).toBe(true) // again changes nothing
    const { status, body } = await pin('c')
    expect([status, body.error.code]).toEqual([400, 'too_many_pinned'])
    expect(body.error.message).toContain('at most 2 experts')
    expect((await ask(small, '/v1/experts/c')).body.pinned).toBe(false)
    for (const model of ['c', 'd', 'c', 'd'])
      expect((await complete({ model, max_tokens: 2 }, small)).status).toBe(200)
    const { hits } = small.engine.stats().experts
    await complete({ model: 'a', max_tokens: 2 }, small)
    expect(small.engine.stats().experts.hits).toBe(hits + 1) // it was never evicted
    await ask(small, '/v1/experts/b/unpin', {})
    expect((await pin('c')).status).toBe(200)
    await small.close()
  })
})

describe('97: an expert that waits while requests of another keep coming', () => {
  /**
   * Whether `b` was answered before 60 requests of `a`, of which six are always there, had ended.
   */
  const isAnswered = async (maxWaitMs: number): Promise<boolean> => {
    const expertBytes = server.engine.experts.countSlotBytes('one') // a slot for one expert
    const busy = await openTestServer({ engineOptions: { maxRows: 2, maxWaitMs, expertBytes } })
    for (const [i, name] of ['a', 'b'].entries())
      await busy.engine.registerAdapter(name, createNoisyExpert(busy.model, i + 1))
    const state = { isOver: false }
    const flood = Array.from({ length: 6 }, async (_, i) => {
      for (let turn = 0; !state.isOver; turn++) {
        const asked = { model: 'a', prompt: `Once ${i} ${turn}`, max_tokens: 16, ignore_eos: true }
        expect((await complete(asked, busy)).status).toBe(200)
      }
    })
    await expect.poll(() => busy.engine.stats().running).toBe(2)
    const answer = { isThere: false }
    const waiting = complete({ model: 'b', max_tokens: 2 }, busy).then(({ status }) => {
      expect(status).toBe(200)
      answer.isThere = true
    })
    const before = busy.engine.stats().finished
    await expect
      .poll(() => answer.isThere || busy.engine.stats().finished - before > 60, { timeout: 60_000 })
      .toBe(true)
    const { isThere } = answer
    state.isOver = true
    await Promise.all([...flood, waiting])
    await busy.close()
    return isThere
  }

  it('is answered where it has waited for the stated bound', { timeout: 90_000 }, async () => {
    expect(await isAnswered(20)).toBe(true)
  })
})
