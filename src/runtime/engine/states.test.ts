// Models whose rows have a state in addition to keys and values: the engine gives the results of
// the whole sequence, with any order of joining, leaving, shared prefixes and pre-emption.

import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Expert } from '../../adapters/index.ts'
import { random } from '../../base/random.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createEngine } from '../create-engine.ts'
import { createModel, type Model } from '../model.ts'
import type { EngineRequest } from './engine.ts'
import type { EngineOptions } from './engine-options.ts'
import type { Drafter } from './drafts/drafter.ts'
import { readAnswer, readEnd } from './generate.ts'
import { createSavedBlocks } from './kv/testing.ts'
import { chooseStage, type LogitsStage } from './logits/stage.ts'
import { answerAlone, countHeld, createExpert } from '../../../test/support/engine.ts'
import { readTensors } from '../../../test/support/adapters.ts'

const fixtures = new URL('../../../test/parity/architectures_recent/', import.meta.url)

interface Case {
  readonly name: string
  /** Linear layers of its own that adapters aim at. */
  readonly targets: readonly string[]
  /** Whether a block's states can be kept for later prompts. */
  readonly shares: boolean
}

const cases: readonly Case[] = [
  { name: 'lfm2', targets: ['in_proj', 'out_proj', 'w2'], shares: true },
  { name: 'lfm2_bias', targets: ['in_proj', 'q_proj'], shares: true },
  { name: 'qwen3_5_text', targets: ['in_proj_qkv', 'in_proj_z', 'q_proj'], shares: false },
]

const createPrompt = (length: number, seed = 0): number[] =>
  Array.from({ length }, (_, i) => 3 + ((i * 37 + seed * 11 + i * i * 5) % 90))

const largest = (values: ArrayLike<number>): number => {
  const list = Array.from(values)
  return list.indexOf(Math.max(...list))
}

describe.each(cases)('$name', ({ name, targets, shares }) => {
  let model: Model
  let experts: Readonly<Record<string, Expert | undefined>>

  beforeAll(async () => {
    const folder = await openDirectory(new URL(name, fixtures).pathname)
    const base = await openBaseModel({ name, folder })
    const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
    model = createModel({ base, backend })
    const lora = createExpert(base, 'lora', { rank: 4, targets, start: 'random' }, 3)
    const last = targets.at(-1)!
    const ia3 = createExpert(base, 'ia3', { targets, feedForward: [last] }, 4)
    const whole = ['embed_tokens', ...targets]
    const attached = createExpert(base, 'lora', { rank: 2, targets: whole, start: 'random' }, 7)
    experts = { base: undefined, lora, ia3, attached }
  })
  afterAll(() => model.dispose())

  const options: EngineOptions = { pieceTokens: 32 }
  const request = (expert: string, more: Partial<EngineRequest> = {}): EngineRequest => ({
    prompt: createPrompt(40),
    maxTokens: 24,
    adapter: experts[expert],
    ...more,
  })

  it('continues as transformers does', async () => {
    const expected = await readTensors(new URL(`${name}/expected.safetensors`, fixtures))
    const greedy = Array.from(expected.get('greedy')!.data as BigInt64Array, Number)
    const one = { prompt: greedy.slice(0, 20), maxTokens: 12, minTokens: 12, exact: true }
    expect((await answerAlone(model, one, options)).ids).toEqual(greedy.slice(20))
  })

  it.each(['base', 'lora', 'ia3', 'attached'])(
    'writes what the whole sequence says: %s',
    async (expert) => {
      const { ids } = await answerAlone(model, request(expert, { exact: true }), options)
      const tokens = [...createPrompt(40), ...ids]
      const logits = await model.logits([tokens], { adapter: experts[expert] })
      const width = logits.shape.at(-1)!
      const said = ids.map((_, i) =>
        largest(logits.data.subarray((39 + i) * width, (40 + i) * width)),
      )
      expect(ids).toEqual(said)
    },
  )

  it('gives prompts of different lengths in one batch the logits of each alone', async () => {
    const prompts = [1, 2, 3, 17, 40].map((length) => createPrompt(length, length))
    const together = await model.nextLogits(prompts, 'exact')
    for (const [i, prompt] of prompts.entries()) {
      const { data, shape } = await model.logits([prompt])
      const alone = data.subarray(data.length - shape.at(-1)!)
      const gap = together[i]!.map((value, at) => Math.abs(value - alone[at]!))
      expect([i, Math.max(...gap) < 1e-4]).toEqual([i, true])
    }
  })

  it('serves requests that come and go at any step', async () => {
    const draw = random(12)
    const pick = (below: number): number => Math.floor(draw.uniform() * below)
    const names = Object.keys(experts)
    const engine = createEngine({ model, maxRows: 4, ...options })
    const requests = Array.from({ length: 24 }, (_, i) =>
      request(names[pick(names.length)]!, {
        prompt: createPrompt(1 + pick(70), pick(3)),
        maxTokens: 1 + pick(20),
        seed: i,
        temperature: i % 2,
        topK: 3,
      }),
    )
    const started = []
    for (const one of requests) {
      started.push(readAnswer(engine, one))
      for (let steps = pick(4); steps > 0; steps--) await engine.step()
    }
    const answers = await Promise.all(started)
    for (const [i, one] of requests.entries())
      expect([i, answers[i]!.ids]).toEqual([i, (await answerAlone(model, one, options)).ids])
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it(`${shares ? 'begins behind' : 'reads again'} a prompt that it has read`, async () => {
    const seen: Float32Array[] = []
    const stage: LogitsStage<undefined> = {
      async run(_, hidden) {
        const logits = await model.head().logits(hidden)
        seen.push(logits.data.slice())
        return logits
      },
    }
    for (const kvElement of ['f32', 'f16', 'int8'] as const) {
      const { saved } = createSavedBlocks()
      const engine = createEngine({ model, ...options, kvElement, saved })
      const next = createEngine({ model, ...options, kvElement, saved })
      for (const length of [33, 50, 70]) {
        seen.length = 0
        const choice = chooseStage(stage, undefined)
        const one = request('base', {
          prompt: createPrompt(length, 5),
          maxTokens: 3,
          minTokens: 3,
          stage: choice,
        })
        const answers = [await readAnswer(engine, one), await readAnswer(engine, one)]
        answers.push(await readAnswer(next, one))
        const cached = answers.map(({ cachedTokens }) => cachedTokens > 0)
        expect(cached.slice(1)).toEqual([shares, shares])
        expect(seen.slice(3)).toEqual([...seen.slice(0, 3), ...seen.slice(0, 3)])
      }
      await engine.dispose()
      await next.dispose()
    }
  })

  it('continues with the same text where rows give way', async () => {
    const { capacity } = createEngine({ model, kvBytes: 2 ** 20 }).stats().kv.blocks
    const kvBytes = 26 * Math.floor(2 ** 20 / capacity)
    const tight = createEngine({ model, ...options, kvBytes, maxRows: 6 })
    const requests = Array.from({ length: 6 }, (_, i) =>
      request('base', { prompt: createPrompt(30 + i, i), maxTokens: 60, minTokens: 60 }),
    )
    const answers = await Promise.all(requests.map((one) => readAnswer(tight, one)))
    expect(tight.stats().preemptions).toBeGreaterThan(0)
    for (const [i, one] of requests.entries())
      expect([i, answers[i]!.ids]).toEqual([i, (await answerAlone(model, one, options)).ids])
  })

  it.each([Infinity, 3, 1])('looks ahead, wrong at every %s. token', async (wrongEvery) => {
    const one = request('base')
    const { ids } = await answerAlone(model, one, options)
    const drafter: Drafter = {
      name: 'oracle',
      propose: ({ length }, most) =>
        ids
          .slice(length - 40, length - 40 + most)
          .map((id, i) => ((length + i) % wrongEvery === 0 ? (id + 1) % 90 : id)),
    }
    const stage: LogitsStage<undefined> = {
      run: (_, hidden) => model.head().logits(hidden),
      dropRows: () => undefined,
    }
    const choice = chooseStage(stage, undefined, drafter)
    const engine = createEngine({ model, ...options })
    const ahead = await readAnswer(engine, { ...one, stage: choice, speculate: true })
    expect(ahead.ids).toEqual(ids)
    expect(engine.stats().draftedTokens > 0).toBe(shares)
    await engine.dispose()
  })

  it('writes copies of one prompt as each alone', async () => {
    const engine = createEngine({ model, ...options })
    const one = request('lora', { temperature: 1, seed: 5 })
    const copies = await engine.addCopies(one, 3)
    void engine.run()
    const answers = await Promise.all(copies.map(readEnd))
    for (const [i, { ids }] of answers.entries())
      expect(ids).toEqual((await answerAlone(model, { ...one, seed: 5 + i }, options)).ids)
    await engine.dispose()
  })

  it('are near themselves where prompts and rows are in 8 bits', async () => {
    const prompt = createPrompt(60)
    const score = async (more: EngineOptions) => {
      const asked = request('lora', { prompt, maxTokens: 0, promptLogprobs: 0 })
      const { promptLogprobs } = await answerAlone(model, asked, more)
      return promptLogprobs!.flatMap((token) => (token ? [token.logprob] : []))
    }
    const narrow = { promptProducts: 'int8', kvElement: 'int8' } as const
    const whole = await score({})
    for (const [i, logprob] of (await score(narrow)).entries())
      expect(logprob).toBeCloseTo(whole[i]!, 0)
    const engine = createEngine({ model, ...narrow })
    const one = request('lora', { prompt, maxTokens: 4 })
    const cold = await readAnswer(engine, one)
    expect((await readAnswer(engine, one)).ids).toEqual(cold.ids)
    await engine.dispose()
  })
})
