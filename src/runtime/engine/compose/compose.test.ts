// Experts composed by name and along the answer: sums, scales, switches and fades in the engine,
// compared with a plain forward pass over one cache.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter, Expert, Mixture } from '../../../adapters/index.ts'
import type { Fade } from '../../../adapters/serving/fade.ts'
import { NotFoundError, OptionError, UnsupportedError } from '../../../base/errors.ts'
import { createEngine } from '../../create-engine.ts'
import { getModelParts } from '../../model-parts.ts'
import type { Model } from '../../model.ts'
import type { Generation } from '../answer.ts'
import type { Engine, EngineRequest } from '../engine.ts'
import { readAnswer } from '../generate.ts'
import { computeShares } from './fade-plan.ts'
import {
  answerAlone,
  countHeld,
  createExperts,
  createPrompt,
  openStories,
} from '../../../../test/support/engine.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>
let first: Adapter
let second: Adapter

beforeAll(async () => {
  model = await openStories()
  experts = await createExperts(model)
  first = experts['first'] as Adapter
  second = experts['second'] as Adapter
})
afterAll(() => model.dispose())

async function openEngine(options: Parameters<typeof createEngine>[0] | object = {}) {
  const engine = createEngine({ model, ...options })
  for (const [name, expert] of Object.entries(experts))
    if (expert) await engine.registerAdapter(name, expert)
  return engine
}

const request = (
  adapter: EngineRequest['adapter'],
  more: Partial<EngineRequest> = {},
): EngineRequest => ({ prompt: createPrompt(20), maxTokens: 12, logprobs: 3, adapter, ...more })

const tokensOf = ({ tokens }: Generation) => tokens!.map(({ id, logprob }) => ({ id, logprob }))

/** Greedy ids and their log-probabilities, by one cache and the exact path, one token at a time. */
async function writePlainly(
  prompt: readonly number[],
  expertAt: (index: number) => Expert | undefined,
  count: number,
) {
  const forward = getModelParts(model).forwards.exact
  const cache = forward.cache(1)
  const written: { id: number; logprob: number }[] = []
  let piece: readonly number[] = prompt
  for (let index = 0; index < count; index++) {
    const [[logits]] = (await forward([piece], cache, { served: expertAt(index) })) as [
      [Float32Array],
    ]
    const most = Math.max(...logits)
    const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0)
    const id = logits.indexOf(most)
    written.push({ id, logprob: -Math.log(sum) })
    piece = [id]
  }
  return written
}

function expectAlike(
  got: readonly { id: number; logprob: number }[],
  expected: readonly { id: number; logprob: number }[],
  digits = 3,
): void {
  expect(got.map(({ id }) => id)).toEqual(expected.map(({ id }) => id).slice(0, got.length))
  for (const [i, { logprob }] of got.entries())
    expect(logprob, `token ${i}`).toBeCloseTo(expected[i]!.logprob, digits)
}

describe('experts by name', () => {
  it.each([
    ['first:0.7+second:0.4', 'mixture'],
    [' first : 0.7 + second:4e-1 ', 'mixture'],
    ['first', 'first'],
    ['first:1', 'first'],
    ['first+second:0', 'first'],
    ['stories260k:first', 'first'],
    ['stories260k', 'base'],
    ['base', 'base'],
    ['first:0', 'base'],
    ['mixture', 'mixture'],
    ['wide:0+ia3', 'ia3'],
    ['stories260k:prompt', 'prompt'],
  ])('%s answers as %s does', async (name, expected) => {
    const engine = await openEngine()
    const named = await readAnswer(engine, request(name))
    const given = await answerAlone(model, request(experts[expected]))
    expect(tokensOf(named)).toEqual(tokensOf(given))
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('takes the value as well as the text, and weights by layer', async () => {
    const engine = await openEngine()
    const layers = [
      { layers: [0, 1], weight: 0.5 },
      { layers: [3, 3], weight: -1 },
    ] as const
    const text = 'first:0.5@0-1/-1@3+second'
    const value = {
      parts: [
        { name: 'first', weight: layers },
        { name: 'second', weight: 1 },
      ],
    }
    const mixture: Mixture = {
      mixture: [
        { adapter: first, weight: layers },
        { adapter: second, weight: 1 },
      ],
    }
    const given = tokensOf(await answerAlone(model, request(mixture)))
    expect(tokensOf(await readAnswer(engine, request(text)))).toEqual(given)
    expect(tokensOf(await readAnswer(engine, request(value)))).toEqual(given)
    expect(given).not.toEqual(tokensOf(await answerAlone(model, request('base' as never))))
    await expect(engine.add(request('first:0.5@3-9'))).rejects.toThrow(
      /"first": layers 3-9: the model has 5 layers/,
    )
  })

  it('sums what has vectors, and what is itself a sum, in every cold form', async () => {
    for (const cold of ['f32', 'f16', 'int8'] as const) {
      const engine = await openEngine({ cold })
      const mixture: Mixture = {
        mixture: [
          { adapter: first, weight: 0.35 },
          { adapter: second, weight: 0.2 },
          { adapter: experts['dora'] as Adapter, weight: 0.8 },
        ],
      }
      const given = await answerAlone(model, request(mixture))
      const named = await readAnswer(engine, request('mixture:0.5+dora:0.8'))
      for (const [i, { logprob }] of tokensOf(named).slice(0, 2).entries())
        expect(logprob).toBeCloseTo(given.tokens![i]!.logprob, cold === 'int8' ? 0 : 2)
    }
  })

  it('serves several scales in a batch as each alone, and scale 0 as the base, bit for bit', async () => {
    const engine = await openEngine()
    const scales = [0, 0, 0.3, 0.7, 1, 1]
    const more = { maxTokens: 16, cache: false }
    const together = await Promise.all(
      scales.map((scale) => readAnswer(engine, request(`first:${scale}`, more))),
    )
    for (const [i, scale] of scales.entries()) {
      const alone = await readAnswer(await openEngine(), request(`first:${scale}`, more))
      expectAlike(tokensOf(together[i]!), tokensOf(alone))
    }
    const base = await readAnswer(await openEngine(), request(undefined, more))
    expect(tokensOf(together[0]!)).toEqual(tokensOf(together[1]!))
    expectAlike(tokensOf(together[0]!), tokensOf(base))
    const zero = await readAnswer(await openEngine(), request('first:0', more))
    expect(tokensOf(zero)).toEqual(tokensOf(base))
    expect(new Set(together.map(({ text }) => text)).size).toBeGreaterThan(2)
  })

  it('is prepared by name, so that its first request fills no slot', async () => {
    const engine = await openEngine()
    for (const name of ['first:0.6+second:0.4', 'first>4>wide']) {
      await engine.prepare(name, 'fast')
      const { fills } = engine.stats().experts
      await readAnswer(engine, request(name))
      expect(engine.stats().experts.fills, name).toBe(fills)
    }
    await expect(engine.prepare('frist', 'fast')).rejects.toThrow(/Did you mean "first"/)
  })

  it('names what is not there, with the nearest, before anything is queued', async () => {
    const engine = await openEngine()
    await expect(engine.add(request('frist'))).rejects.toThrow(NotFoundError)
    await expect(engine.add(request('first:0.5+secnd:0.5'))).rejects.toThrow(
      /"secnd"\. Did you mean "second"/,
    )
    await expect(engine.add(request('frist+secnd'))).rejects.toThrow(/frist[^]*secnd/)
    await expect(engine.add(request('first:0.5+'))).rejects.toThrow(OptionError)
    await expect(engine.add(request('first:0.5+prompt'))).rejects.toThrow(
      /"prompt": its virtual tokens have no weight, so it can only act alone/,
    )
    const value = { parts: [{ name: 'first', weight: Number.NaN }] }
    await expect(engine.add(request(value))).rejects.toThrow(/weight of "first": got NaN/)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    expect(engine.stats().waiting).toBe(0)
  })

  it('continues while a part is unloaded, which waits for the sum', async () => {
    const engine = await openEngine()
    const alone = await readAnswer(await openEngine(), request('first:0.6+second:0.4'))
    const running = readAnswer(engine, request('first:0.6+second:0.4'))
    await new Promise((resolve) => setTimeout(resolve))
    let isGone = false
    const gone = engine.unloadAdapter('second').then(() => (isGone = true))
    await expect(engine.add(request('second'))).rejects.toThrow(NotFoundError)
    expect(isGone).toBe(false)
    expect(tokensOf(await running)).toEqual(tokensOf(alone))
    await gone
    expect(engine.stats().experts).toMatchObject({ leases: 0, resident: 0 })
  })
})

const stagesOf = ({ fade }: Fade) => fade.map(({ from, to = from }) => ({ from, to }))

/** The mixture that a fade is at a token. */
const expertAt =
  (fade: Fade) =>
  (index: number): Expert | undefined => {
    const parts = computeShares(stagesOf(fade), index).map(({ stage, share }) => ({
      expert: fade.fade[stage]!.expert,
      share,
    }))
    if (parts.length === 1) return parts[0]!.expert
    const mixture = parts.flatMap(({ expert, share }) =>
      expert === undefined
        ? []
        : 'mixture' in expert
          ? expert.mixture.map(({ adapter, weight }) => ({
              adapter,
              weight: (weight as number) * share,
            }))
          : [{ adapter: expert, weight: share }],
    )
    return { mixture }
  }

describe('along the answer', () => {
  const fadeOf = (...stages: [name: string, from: number, to?: number][]): Fade => ({
    fade: stages.map(([name, from, to = from]) => ({ expert: experts[name], from, to })),
  })
  const more = { maxTokens: 24 }

  it.each([
    ['first>5>second', fadeOfLater(['first', 0], ['second', 5])],
    ['first>2-9>second', fadeOfLater(['first', 0], ['second', 2, 9])],
    ['base>0-6>mixture>10>base', fadeOfLater(['base', 0], ['mixture', 0, 6], ['base', 10])],
    ['first>3-5>wide>5-8>second', fadeOfLater(['first', 0], ['wide', 3, 5], ['second', 5, 8])],
    ['ia3>4>dora>9>first', fadeOfLater(['ia3', 0], ['dora', 4], ['first', 9])],
    ['ia3>2-8>base', fadeOfLater(['ia3', 0], ['base', 2, 8])],
    ['first>2-8>ia3', fadeOfLater(['first', 0], ['ia3', 2, 8])],
    ['dora>2-8>first', fadeOfLater(['dora', 0], ['first', 2, 8])],
    ['second>1-5>scaled>5-9>ia3', fadeOfLater(['second', 0], ['scaled', 1, 5], ['ia3', 5, 9])],
    ['second>1>first', fadeOfLater(['second', 0], ['first', 1])],
  ])('%s is each token’s own mixture over one cache', async (name, makeFade) => {
    const fade = makeFade()
    const engine = await openEngine()
    const expected = await writePlainly(createPrompt(20), expertAt(fade), 24)
    expectAlike(tokensOf(await readAnswer(engine, request(name, more))), expected)
    expectAlike(tokensOf(await readAnswer(engine, request(fade, more))), expected)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  function fadeOfLater(...stages: [name: string, from: number, to?: number][]): () => Fade {
    return () => fadeOf(...stages)
  }

  it('is served in a batch with every other expert, each as alone', async () => {
    const engine = await openEngine()
    const names = ['first>2-9>second', 'first', 'base', 'mixture', 'wide>4>ia3', 'prompt', 'second']
    const alone: Generation[] = []
    for (const name of names) alone.push(await readAnswer(await openEngine(), request(name, more)))
    const together = await Promise.all(names.map((name) => readAnswer(engine, request(name, more))))
    for (const [i, answer] of together.entries()) expectAlike(tokensOf(answer), tokensOf(alone[i]!))
  })

  it('shares the prompt’s blocks with the expert that reads it, and nothing that it writes', async () => {
    const prompt = createPrompt(64)
    const engine = await openEngine({ pieceTokens: 32 })
    const fade = await readAnswer(engine, request('first>2-6>second', { prompt, maxTokens: 40 }))
    expect(fade.cachedTokens).toBe(0)
    const again = await readAnswer(engine, request('first', { prompt }))
    expect(again.cachedTokens).toBe(48)
    const longer = [...prompt, ...fade.ids, ...createPrompt(9, 3)]
    for (const name of ['first', 'second', 'first>4>second']) {
      const warm = await readAnswer(engine, request(name, { prompt: longer }))
      const cold = await readAnswer(engine, request(name, { prompt: longer, cache: false }))
      expect(tokensOf(warm)).toEqual(tokensOf(cold))
    }
  })

  it('keeps each token’s weights when it loses its row and is continued', async () => {
    const prompt = createPrompt(20)
    const names = ['first>4-30>second', 'second>20>first', 'base>2-40>wide', 'first>9>base']
    const long = { prompt, maxTokens: 60 }
    const alone: Generation[] = []
    for (const name of names) alone.push(await readAnswer(await openEngine(), request(name, long)))
    const tokenBytes = 2 * 4 * 5 * 4 * 8
    const engine = await openEngine({ kvBytes: 12 * 16 * tokenBytes, pieceTokens: 32 })
    const together = await Promise.all(names.map((name) => readAnswer(engine, request(name, long))))
    expect(engine.stats().preemptions).toBeGreaterThan(0)
    // Tokens that are read again in pieces have other last bits than those written one by one.
    for (const [i, answer] of together.entries())
      expectAlike(tokensOf(answer), tokensOf(alone[i]!), 2)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('gives copies of one prompt the same fade', async () => {
    const engine = await openEngine()
    const [one, two] = await engine.addCopies(request('first>2-9>second', more), 2)
    void engine.run()
    const ends = await Promise.all([one!, two!].map(readEnd))
    expectAlike(
      tokensOf(ends[1]!),
      await writePlainly(createPrompt(20), expertAt(fadeOf(['first', 0], ['second', 2, 9])), 24),
    )
    expect(ends[0]!.ids).toEqual(ends[1]!.ids)
  })

  it('works through model.generate', async () => {
    const fade = fadeOf(['first', 0], ['second', 2, 9])
    const text = await model.complete('Lily', { adapter: fade, maxTokens: 8 })
    expect(text).not.toBe(await model.complete('Lily', { adapter: first, maxTokens: 8 }))
    await expect(model.loss([[1, 2]], [[1, 2]], { adapter: fade as never })).rejects.toThrow(
      OptionError,
    )
    await expect(
      model.generateBatch(['Lily'], { adapter: fade as never, maxTokens: 2 }),
    ).rejects.toThrow(/a mixture|give it to generate/)
  })

  it.each([
    ['prompt>4>first', UnsupportedError, /stage 1, "prompt": its virtual tokens stay/],
    ['first>4>attached', UnsupportedError, /stage 2, "attached": a separate program/],
    [
      'dora>4-8>ia3',
      UnsupportedError,
      /tokens 4-8: inputs and outputs of [^]*down_proj[^]*switch at one/,
    ],
    ['first>4>secnd', NotFoundError, /Did you mean "second"/],
    [{ fade: [] }, OptionError, /at least one stage/],
    [{ fade: [{ expert: undefined, from: 3 }] }, OptionError, /expected 0: the first stage reads/],
    [
      {
        fade: [
          { expert: undefined, from: 0 },
          { expert: undefined, from: 4, to: 2 },
        ],
      },
      OptionError,
      /fade\[1\]: got from 4 to 2/,
    ],
    [{ fade: [{ expert: undefined, from: 0, til: 2 }] }, OptionError, /no "til"/],
  ])('refuses %j', async (choice, type, message) => {
    const engine = await openEngine()
    await expect(engine.add(request(choice as never))).rejects.toThrow(type)
    await expect(engine.add(request(choice as never))).rejects.toThrow(message)
    expect(engine.hasWork).toBe(false)
  })
})

async function readEnd({ events }: Awaited<ReturnType<Engine['add']>>): Promise<Generation> {
  let end: Generation | undefined
  for await (const event of events) if (event.type === 'generation-end') end = event
  return end!
}
