// Log-probabilities of answers and prompts, against the model's own logits and loss.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ContextLengthError, OptionError } from '../../base/errors.ts'
import type { Adapter, Expert } from '../../adapters/index.ts'
import { f32 } from '../../base/tensor.ts'
import { createEngine } from '../create-engine.ts'
import { scoreToken, type TokenLogprob } from '../decode/logprobs.ts'
import type { Model } from '../model.ts'
import type { EngineRequest, EngineSequence } from './engine.ts'
import type { TextDelta } from './answer.ts'
import { readAnswer, readEnd } from './generate.ts'
import { chooseStage } from './logits/stage.ts'
import {
  answerAlone,
  countHeld,
  createExpert,
  createExperts,
  createPrompt,
  openStories,
} from '../../../test/support/engine.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>

beforeAll(async () => {
  model = await openStories()
  experts = await createExperts(model)
})
afterAll(() => model.dispose())

const request = (name: string, more: Partial<EngineRequest> = {}): EngineRequest => ({
  prompt: createPrompt(20),
  maxTokens: 12,
  adapter: experts[name],
  exact: true,
  ...more,
})

/** By model.logits, which reads the whole text at once: scores of all tokens but the first. */
async function scoreText(
  ids: readonly number[],
  adapter: Expert | undefined,
  count: number,
): Promise<TokenLogprob[]> {
  const { data, shape } = await model.logits([ids], { adapter })
  const width = shape[2]!
  return ids
    .slice(1)
    .map((id, t) => scoreToken(data.subarray(t * width, (t + 1) * width), id, count))
}

const expectNear = (got: number, expected: number) =>
  expect(Math.abs(got - expected)).toBeLessThan(1e-4 * Math.max(1, Math.abs(expected)))

/** Equal tokens, and numbers that differ by less than 1e-4; unlikely tokens by that share. */
function expectClose(got: readonly (TokenLogprob | null)[], expected: readonly TokenLogprob[]) {
  expect(got.map((token) => token?.id)).toEqual(expected.map(({ id }) => id))
  for (const [i, one] of expected.entries()) {
    expectNear(got[i]!.logprob, one.logprob)
    expect(got[i]!.top).toHaveLength(one.top.length)
    for (const [k, { logprob }] of one.top.entries()) expectNear(got[i]!.top[k]!.logprob, logprob)
  }
}

// With virtual tokens the model's own logits begin behind them as well.
const names = ['base', 'first', 'wide', 'ia3', 'mixture', 'attached', 'dora', 'prompt', 'prefix']

describe('logprobs', () => {
  it.each(names)('are those of the model’s logits: %s', async (name) => {
    const answer = await answerAlone(model, request(name, { logprobs: 4 }))
    const scores = await scoreText([...createPrompt(20), ...answer.ids], experts[name], 4)
    expect(answer.ids).toHaveLength(12)
    expectClose(answer.tokens!, scores.slice(19))
  })

  it('come with the text that they end, each once', async () => {
    const engine = createEngine({ model })
    for (const stop of [[], ['the'], ['e', 'zzzz']]) {
      const one = request('base', { logprobs: 2, stop, maxTokens: 40, prompt: model.encode('Tom') })
      const deltas: TextDelta[] = []
      let end
      for await (const event of engine.generate(one))
        if (event.type === 'text-delta') deltas.push(event)
        else end = event
      expect(deltas.map(({ text }) => text).join('')).toBe(end!.text)
      expect(deltas.flatMap(({ tokens }) => tokens!)).toEqual(end!.tokens)
      expect(end!.tokens!.map(({ id }) => id)).toEqual(end!.ids)
      const visible = deltas.filter(({ text }) => text !== '')
      expect(visible.every(({ tokens }) => tokens!.length > 0)).toBe(true)
    }
  })

  it('are by the logits before penalties, bias and temperature', async () => {
    const changed = { temperature: 2, seed: 3, repetitionPenalty: 1.5, logitBias: { 400: 50 } }
    const answer = await answerAlone(model, request('base', { logprobs: 0, ...changed }))
    expect(answer.ids[0]).toBe(400)
    expect(answer.tokens![0]!.logprob).toBeLessThan(-3)
    const scores = await scoreText([...createPrompt(20), ...answer.ids], undefined, 0)
    expectClose(answer.tokens!, scores.slice(19))
  })

  it('are absent unless requested', async () => {
    const answer = await answerAlone(model, request('base'))
    expect(answer).not.toHaveProperty('tokens')
    expect(answer).not.toHaveProperty('promptLogprobs')
  })
})

describe('promptLogprobs', () => {
  it.each(names)('are those of the model’s logits, in pieces: %s', async (name) => {
    const engine = createEngine({ model, pieceTokens: 32 })
    for (const length of [1, 2, 33, 100]) {
      const prompt = createPrompt(length)
      const one = request(name, { prompt, promptLogprobs: 3, maxTokens: 2 })
      const { promptLogprobs, ids } = await readAnswer(engine, one)
      expect(promptLogprobs![0]).toBeNull()
      if (length > 1)
        expectClose(promptLogprobs!.slice(1), await scoreText(prompt, experts[name], 3))
      expect(ids).toEqual(
        (await answerAlone(model, request(name, { prompt, maxTokens: 2 }), { pieceTokens: 32 }))
          .ids,
      )
    }
  })

  it.each(['base', 'first'])('have the mean of model.loss: %s', async (name) => {
    const prompt = createPrompt(300)
    const one = request(name, { prompt, promptLogprobs: 0, maxTokens: 0 })
    const { promptLogprobs } = await answerAlone(model, one, { pieceTokens: 64 })
    const sum = promptLogprobs!.slice(1).reduce((total, token) => total - token!.logprob, 0)
    const loss = await model.loss([prompt], [prompt], { adapter: experts[name] })
    expect(Math.abs(sum / 299 - loss)).toBeLessThan(1e-4)
  })

  it.each(['base', 'first', 'attached'])(
    'are the same behind a cached prefix: %s',
    async (name) => {
      const engine = createEngine({ model, pieceTokens: 32 })
      const prompt = createPrompt(120)
      const plain = request(name, { prompt, maxTokens: 3 })
      const scored = request(name, { prompt, maxTokens: 3, promptLogprobs: 2 })
      const cold = await answerAlone(model, scored, { pieceTokens: 32 })
      await readAnswer(engine, plain)
      expect((await readAnswer(engine, plain)).cachedTokens).toBeGreaterThan(90)
      const warm = await readAnswer(engine, scored)
      expect(warm.cachedTokens).toBe(0)
      expect(warm.promptLogprobs).toEqual(cold.promptLogprobs)
      // And the blocks of a scored prompt serve others.
      expect((await readAnswer(engine, plain)).ids).toEqual(cold.ids)
    },
  )

  it('outlive a loss of the row', async () => {
    const tokenBytes = 8 * 5 * 4 * 8 // layers, key heads, head width
    const engine = createEngine({ model, kvBytes: 9 * 16 * tokenBytes, pieceTokens: 32 })
    const requests = [0, 1, 2].map((seed) =>
      request('first', { prompt: createPrompt(40, seed), maxTokens: 50, promptLogprobs: 1 }),
    )
    const answers = await Promise.all(requests.map((one) => readAnswer(engine, one)))
    expect(engine.stats().preemptions).toBeGreaterThan(0)
    for (const [i, { promptLogprobs }] of answers.entries())
      expectClose(
        promptLogprobs!.slice(1),
        await scoreText(createPrompt(40, i), experts['first'], 1),
      )
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('come before the first text', async () => {
    const engine = createEngine({ model })
    const seen = []
    for await (const event of engine.generate(request('base', { promptLogprobs: 1 })))
      seen.push(event.type === 'text-delta' && event.promptLogprobs?.length)
    expect(seen.slice(0, 2)).toEqual([20, undefined])
  })

  it('are refused with a stage, and above 20', async () => {
    const engine = createEngine({ model })
    const stage = chooseStage({ run: (_, hidden) => model.head().logits(hidden) }, undefined)
    await expect(engine.add(request('base', { promptLogprobs: 1, stage }))).rejects.toThrow(
      /promptLogprobs.*stage/,
    )
    await expect(engine.add(request('base', { promptLogprobs: 21 }))).rejects.toThrow(OptionError)
    await expect(engine.add(request('base', { logprobs: -1 }))).rejects.toThrow(OptionError)
  })
})

/** The same with biases that are not zero, and other tensors a third as large. */
const withBiases = (adapter: Adapter): Adapter => ({
  ...adapter,
  tensors: new Map(
    [...adapter.tensors].map(([key, { shape, data }]) => {
      const values = data as Float32Array
      const isZero = values.every((value) => value === 0)
      return [
        key,
        f32(
          shape,
          values.map((value, i) => (isZero ? Math.sin(i) / 3 : value / 3)),
        ),
      ]
    }),
  ),
})

describe('an expert with a bias that acts from its invocation tokens on', () => {
  it('gives the model’s numbers before and behind them, in a slot like others', async () => {
    const prompt = createPrompt(60)
    const [early, late] = [12, 58].map((at) =>
      withBiases(
        createExpert(
          model.base,
          'lora',
          {
            rank: 4,
            targets: ['q_proj', 'v_proj', 'down_proj'],
            start: 'random',
            loraBias: true,
            invocationTokens: prompt.slice(at, at + 2),
          },
          9 + at,
        ),
      ),
    )
    const engine = createEngine({ model, pieceTokens: 32 })
    const requests = [early, late, experts['first'], undefined].map((adapter) =>
      request('base', { prompt, adapter, promptLogprobs: 2, logprobs: 2 }),
    )
    // Without its invocation it is the base.
    requests.push({ ...requests[0]!, prompt: createPrompt(9, 5) })
    const sequences: EngineSequence[] = []
    for (const one of requests) sequences.push(await engine.add(one))
    await engine.step()
    expect(engine.stats().experts).toMatchObject({ attached: { leases: 0 }, active: 1 })
    void engine.run()
    const answers = await Promise.all(sequences.map(readEnd))
    for (const [i, { promptLogprobs, tokens, ids }] of answers.entries()) {
      const { prompt: read, adapter } = requests[i]!
      const scores = await scoreText([...read, ...ids], adapter as Expert, 2)
      expectClose([...promptLogprobs!.slice(1), ...tokens!], scores)
    }
    const base = await readAnswer(engine, { ...requests[4]!, adapter: undefined })
    expect(base.ids).toEqual(answers[4]!.ids)
    expect(answers[0]!.ids).not.toEqual(answers[3]!.ids)
  })
})

describe('maxTokens 0', () => {
  it('reads the prompt, writes nothing, and leaves the prompt in the cache', async () => {
    const engine = createEngine({ model, pieceTokens: 32 })
    const prompt = createPrompt(100)
    const read = await readAnswer(engine, request('first', { prompt, maxTokens: 0 }))
    expect(read).toMatchObject({ ids: [], text: '', reason: 'length', promptTokens: 100 })
    expect(engine.stats().writtenTokens).toBe(0)
    const next = await readAnswer(engine, request('first', { prompt }))
    expect(next.cachedTokens).toBe(96)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('takes a prompt as long as the context', async () => {
    const { maxPositions } = model.config
    const whole = createPrompt(maxPositions)
    const one = request('base', { prompt: whole, maxTokens: 0, promptLogprobs: 0 })
    const { promptLogprobs } = await answerAlone(model, one)
    expectClose(promptLogprobs!.slice(1), await scoreText(whole, undefined, 0))
    await expect(answerAlone(model, { ...one, maxTokens: 1 })).rejects.toThrow(ContextLengthError)
    const longer = { ...one, prompt: createPrompt(maxPositions + 1) }
    await expect(answerAlone(model, longer)).rejects.toThrow(ContextLengthError)
  })
})
