// An engine with speculation compared with one without: the same answers, fewer calls. The story
// model has f32 weights, so that the two kinds of call differ only by rounding.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../../base/errors.ts'
import {
  answerAlone,
  countHeld,
  createExperts,
  createPrompt,
  openStories,
} from '../../../../test/support/engine.ts'
import { createEngine } from '../../create-engine.ts'
import type { Model } from '../../model.ts'
import type { Generation } from '../answer.ts'
import type { Engine, EngineRequest } from '../engine.ts'
import { readAnswer } from '../generate.ts'
import { chooseStage, type LogitsStage, type StageChoice } from '../logits/stage.ts'
import type { Drafter } from './drafter.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>

beforeAll(async () => {
  model = await openStories()
  experts = await createExperts(model)
})
afterAll(() => model.dispose())

const options = { pieceTokens: 32 }

/** A prompt that says a sentence again and again, so that an answer may repeat it. */
const createRepetition = (): number[] => model.encode(`${'The cat. '.repeat(8)}The`)

const request = (more: Partial<EngineRequest> = {}): EngineRequest => ({
  prompt: createRepetition(),
  maxTokens: 40,
  ...more,
})

const contentOf = ({ ids, text, reason }: Generation) => ({ ids, text, reason })

/** The answer of an engine of its own, and what the engine counted. */
async function answerAhead(one: EngineRequest) {
  const engine = createEngine({ model, ...options })
  try {
    const answer = await readAnswer(engine, { ...one, speculate: true })
    return { answer, stats: engine.stats(), held: countHeld(engine) }
  } finally {
    await engine.dispose()
  }
}

/** The model's head as a stage, which keeps the rows that came about. */
function createHeadStage(drafter?: Drafter): { choice: StageChoice; kept: Float32Array[] } {
  const kept: Float32Array[] = []
  const stage: LogitsStage<undefined> = {
    async run(_, hidden) {
      const width = hidden.shape[1]!
      for (let row = 0; row < hidden.shape[0]!; row++)
        kept.push(hidden.data.slice(row * width, (row + 1) * width))
      return model.head().logits(hidden)
    },
    dropRows(_, rows) {
      kept.length -= rows
    },
  }
  return { choice: chooseStage(stage, undefined, drafter), kept }
}

/** Knows an answer, and is wrong at every `wrongEvery`th token. */
const createOracle = (prompt: number, ids: readonly number[], wrongEvery = Infinity): Drafter => ({
  name: 'oracle',
  propose: ({ length }, most) =>
    ids
      .slice(length - prompt, length - prompt + most)
      .map((id, i) => ((length + i) % wrongEvery === 0 ? (id + 1) % 500 : id)),
})

describe('speculation', () => {
  const names = ['base', 'first', 'ia3', 'attached', 'dora', 'prompt', 'prefix', 'mixture']
  it.each(names)('leaves answers as they are: %s', async (name) => {
    for (const more of [
      {},
      { temperature: 0.8, seed: 3 },
      { temperature: 1, topP: 0.9, seed: 4 },
    ]) {
      const one = request({ adapter: experts[name], ...more })
      const plain = await answerAlone(model, one, options)
      const { answer, held } = await answerAhead(one)
      expect(contentOf(answer)).toEqual(contentOf(plain))
      expect(held).toEqual([0, 0, 0, 0])
    }
  })

  it('takes fewer calls where the answer repeats', async () => {
    const one = request({ maxTokens: 60 })
    const { answer, stats } = await answerAhead(one)
    expect(stats.acceptedTokens).toBeGreaterThan(10)
    expect(stats.acceptedTokens).toBeLessThanOrEqual(stats.draftedTokens)
    expect(stats.steps).toBeLessThan(answer.ids.length - 10)
    expect(stats.writtenTokens).toBe(answer.ids.length - 1)
  })

  it.each([
    { wrongEvery: Infinity, share: [0, 0.34] },
    { wrongEvery: 3, share: [0.34, 0.8] },
    { wrongEvery: 1, share: [0.6, 1] },
  ])('with a drafter that errs at every $wrongEvery. token', async ({ wrongEvery, share }) => {
    const plain = await answerAlone(model, request(), options)
    const one = request()
    const oracle = createOracle(one.prompt.length, plain.ids, wrongEvery)
    const { choice, kept } = createHeadStage(oracle)
    const { answer, stats } = await answerAhead({ ...one, stage: choice })
    expect(contentOf(answer)).toEqual(contentOf(plain))
    // The stage is left with one row a token.
    expect(kept).toHaveLength(answer.ids.length + (answer.reason === 'eos' ? 1 : 0))
    const steps = stats.steps / plain.ids.length
    expect(steps).toBeGreaterThan(share[0]!)
    expect(steps).toBeLessThanOrEqual(share[1]!)
  })

  it('ends where the answer ends: at its limit, a stop string, the end of the text', async () => {
    const whole = await answerAlone(model, request({ maxTokens: 30 }), options)
    const cases: Partial<EngineRequest>[] = [
      ...[1, 2, 3, 5, 8, 13].map((maxTokens) => ({ maxTokens })),
      { stop: [whole.text.slice(9, 14)] },
      { maxTokens: 30, minTokens: 4, logitBias: { 2: 30 } },
    ]
    for (const more of cases) {
      const one = request(more)
      const plain = await answerAlone(model, one, options)
      const oracle = createOracle(one.prompt.length, [...whole.ids, 2, 2, 2])
      const { choice } = createHeadStage(oracle)
      expect(contentOf((await answerAhead({ ...one, stage: choice })).answer)).toEqual(
        contentOf(plain),
      )
    }
  })

  it('gives every token its log-probability, and its states once', async () => {
    const one = request({ logprobs: 2 })
    const plain = await answerAlone(model, one, options)
    const read = async (more: Partial<EngineRequest>) => {
      const parts: number[] = []
      const take = (_: number, states: Float32Array): void => void parts.push(states.length)
      const states = { layer: 1, take }
      const answer = await answerAlone(model, { ...one, states, ...more }, options)
      return { answer, total: parts.reduce((sum, length) => sum + length, 0) }
    }
    const ahead = await read({ speculate: true })
    expect(ahead.answer.tokens!.map(({ id }) => id)).toEqual(plain.tokens!.map(({ id }) => id))
    ahead.answer.tokens!.forEach(({ logprob }, i) =>
      expect(logprob).toBeCloseTo(plain.tokens![i]!.logprob, 3),
    )
    expect(ahead.total).toBe((await read({})).total)
  })

  it('keeps penalties and counts by the tokens that came about', async () => {
    for (const more of [{ repetitionPenalty: 1.3 }, { frequencyPenalty: 0.4, temperature: 0.7 }]) {
      const plain = await answerAlone(model, request(more), options)
      expect(contentOf((await answerAhead(request(more))).answer)).toEqual(contentOf(plain))
    }
  })

  it('continues with a second row, and stops with a third', async () => {
    const run = async (count: number): Promise<{ answers: Generation[]; engine: Engine }> => {
      const engine = createEngine({ model, ...options, speculate: true })
      const requests = Array.from({ length: count }, (_, i) =>
        request(i === 0 ? {} : { prompt: createPrompt(40 + i, i), maxTokens: 20 }),
      )
      return { answers: await Promise.all(requests.map((one) => readAnswer(engine, one))), engine }
    }
    const two = await run(2)
    const plain = await answerAlone(model, request(), options)
    expect(contentOf(two.answers[0]!)).toEqual(contentOf(plain))
    expect(two.engine.stats().acceptedTokens).toBeGreaterThan(0)
    const alone = await answerAlone(model, request({ prompt: createPrompt(41, 1), maxTokens: 20 }))
    expect(contentOf(two.answers[1]!)).toEqual(contentOf(alone))
    const engine = createEngine({ model, ...options, speculate: true })
    const same = [1, 2, 3].map((seed) => request({ seed, maxTokens: 12 }))
    await Promise.all(same.map((one) => readAnswer(engine, one)))
    expect(engine.stats().draftedTokens).toBe(0)
    await engine.dispose()
    await two.engine.dispose()
  })

  it('takes no more blocks than there are', async () => {
    // The answer needs the last block's last position.
    const one = request({ maxTokens: 40 })
    const { layers, kvHeads, headWidth } = model.config
    const blocks = Math.ceil((one.prompt.length + 40) / 16)
    const kvBytes = blocks * 16 * 8 * layers.length * kvHeads * headWidth
    const plain = await answerAlone(model, one, { ...options, kvBytes })
    const ahead = await answerAlone(model, { ...one, speculate: true }, { ...options, kvBytes })
    expect(contentOf(ahead)).toEqual(contentOf(plain))
  })

  it('is refused with a stage that takes one token at a time', async () => {
    const stage: LogitsStage<undefined> = { run: (_, hidden) => model.head().logits(hidden) }
    const one = request({ stage: chooseStage(stage, undefined), speculate: true })
    await expect(answerAlone(model, one, options)).rejects.toThrow(OptionError)
    const quiet = { ...one, speculate: undefined }
    const answer = await answerAlone(model, quiet, { ...options, speculate: true })
    expect(contentOf(answer)).toEqual(contentOf(await answerAlone(model, request(), options)))
  })

  it('ends an answer that is cancelled between two calls', async () => {
    const engine = createEngine({ model, ...options })
    for await (const event of engine.generate(request({ speculate: true })))
      if (event.type === 'text-delta' && event.text.length > 0) break
    await engine.run()
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    await engine.dispose()
  })
})
