// The engine over the story model: requests that share steps give what each gives alone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ContextLengthError,
  MismatchError,
  NotFoundError,
  NumericError,
  OptionError,
} from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { createEngine } from '../create-engine.ts'
import type { Model } from '../model.ts'
import type { Generation } from './answer.ts'
import type { Engine, EngineRequest } from './engine.ts'
import { readAnswer } from './generate.ts'
import { createSavedBlocks } from './kv/testing.ts'
import { chooseStage, type LogitsStage } from './logits/stage.ts'
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

const idsOf = ({ ids }: Generation): readonly number[] => ids
const request = (name: string, more: Partial<EngineRequest> = {}): EngineRequest => ({
  prompt: createPrompt(20),
  maxTokens: 12,
  adapter: experts[name],
  ...more,
})

describe('one batch', () => {
  it('serves experts of all kinds and ranks as each alone', async () => {
    const engine = createEngine({ model })
    const names = Object.keys(experts)
    const alone: Generation[] = []
    for (const name of names) alone.push(await answerAlone(model, request(name)))
    const together = await Promise.all(names.map((name) => readAnswer(engine, request(name))))
    expect(together.map(idsOf)).toEqual(alone.map(idsOf))
    expect(new Set(alone.map(({ text }) => text)).size).toBeGreaterThan(6)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('serves requests that come and go at any step', async () => {
    const draw = random(11)
    const pick = (below: number): number => Math.floor(draw.uniform() * below)
    const names = Object.keys(experts)
    const engine = createEngine({ model, maxRows: 5, pieceTokens: 32 })
    const requests = Array.from({ length: 40 }, (_, i) =>
      request(names[pick(names.length)]!, {
        prompt: createPrompt(1 + pick(120), pick(3)),
        maxTokens: 1 + pick(20),
        seed: i,
        temperature: i % 2,
        topK: 3,
      }),
    )
    const started: Promise<Generation>[] = []
    for (const one of requests) {
      started.push(readAnswer(engine, one))
      for (let steps = pick(4); steps > 0; steps--) await engine.step()
    }
    const answers = await Promise.all(started)
    for (const [i, one] of requests.entries()) {
      const alone = await answerAlone(model, one, { pieceTokens: 32 })
      expect([i, answers[i]!.ids]).toEqual([i, alone.ids])
    }
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('reads a prompt of one token', async () => {
    const engine = createEngine({ model })
    const names = ['base', 'first', 'dora']
    const requests = names.map((name) => request(name, { prompt: [1] }))
    const answers = await Promise.all(requests.map((one) => readAnswer(engine, one)))
    expect(answers.map(({ ids }) => ids.length)).toEqual([12, 12, 12])
  })

  it('acts from the invocation tokens on, row by row', async () => {
    const invocation = createPrompt(20).slice(8, 11)
    const activated = createExpert(
      model.base,
      'lora',
      { rank: 4, targets: ['q_proj', 'v_proj'], start: 'random', invocationTokens: invocation },
      9,
    )
    const engine = createEngine({ model })
    const requests = [
      request('base', { adapter: activated }),
      request('base', { adapter: activated, prompt: createPrompt(7) }),
      request('first'),
      request('base'),
    ]
    const together = await Promise.all(requests.map((one) => readAnswer(engine, one)))
    const alone: Generation[] = []
    for (const one of requests) alone.push(await answerAlone(model, one))
    expect(together.map(idsOf)).toEqual(alone.map(idsOf))
    // Without the invocation the base answers.
    const base = await answerAlone(model, request('base', { prompt: createPrompt(7) }))
    expect(together[1]!.ids).toEqual(base.ids)
    expect(together[0]!.ids).not.toEqual(together[3]!.ids)
  })
})

/** A stage that keeps the hidden states it sees, and answers as the model's head. */
function createRecorder(): { stage: LogitsStage<undefined>; seen: Float32Array[] } {
  const seen: Float32Array[] = []
  return {
    seen,
    stage: {
      run(_, hidden) {
        seen.push(hidden.data.slice())
        return model.head().logits(hidden)
      },
    },
  }
}

describe('cached prefixes', () => {
  it.each(['base', 'first', 'attached', 'dora', 'prompt', 'prefix'])(
    'give the bits of a cold prompt: %s',
    async (name) => {
      const engine = createEngine({ model, pieceTokens: 32 })
      for (const length of [40, 64, 65, 150]) {
        const { stage, seen } = createRecorder()
        const one = request(name, {
          prompt: createPrompt(length, length),
          maxTokens: 3,
          stage: chooseStage(stage, undefined),
        })
        const cold = await readAnswer(engine, one)
        const warm = await readAnswer(engine, one)
        expect([cold.cachedTokens, warm.ids]).toEqual([0, cold.ids])
        expect(warm.cachedTokens).toBeGreaterThan(length - 40)
        expect(seen.slice(3)).toEqual(seen.slice(0, 3))
      }
    },
  )

  it('serve the next turn of a conversation up to what was written', async () => {
    const engine = createEngine({ model, pieceTokens: 32 })
    const first = await readAnswer(engine, request('first', { prompt: createPrompt(60) }))
    const prompt = [...createPrompt(60), ...first.ids, 5, 6, 7]
    const next = await readAnswer(engine, request('first', { prompt }))
    expect(next.cachedTokens).toBe(48)
    const alone = await answerAlone(model, request('first', { prompt }), { pieceTokens: 32 })
    expect(next.ids).toEqual(alone.ids)
  })

  it('are found again by another engine where they are saved', async () => {
    const { saved } = createSavedBlocks()
    const prompt = createPrompt(100)
    const ask = async (name: string) => {
      const engine = createEngine({ model, pieceTokens: 32, saved })
      const adapter = experts[name]
      if (adapter) await engine.registerAdapter('tales', adapter)
      const one = request('base', { prompt, adapter: adapter ? 'tales' : undefined })
      const answers = [await readAnswer(engine, one), await readAnswer(engine, one)]
      return answers.map(({ cachedTokens, ids }) => ({ cachedTokens, ids }))
    }
    const [cold, warm] = await ask('first')
    expect([cold!.cachedTokens, warm!.cachedTokens]).toEqual([0, 96])
    expect(await ask('first')).toEqual([warm, warm])
    expect((await ask('second'))[0]!.cachedTokens).toBe(0)
    expect((await ask('base'))[0]!.cachedTokens).toBe(0)
  })

  it('are never read by another expert, mixture or tenant', async () => {
    const engine = createEngine({ model, pieceTokens: 32 })
    const prompt = createPrompt(100)
    const alone = new Map<string, readonly number[]>()
    for (const name of ['base', 'first', 'second', 'mixture'])
      alone.set(
        name,
        (await answerAlone(model, request(name, { prompt }), { pieceTokens: 32 })).ids,
      )
    const order = ['first', 'second', 'first', 'base', 'mixture', 'base']
    for (let i = 0; i < 100; i++) {
      const name = order[i % order.length]!
      expect([name, (await readAnswer(engine, request(name, { prompt }))).ids]).toEqual([
        name,
        alone.get(name),
      ])
    }
    const other = await readAnswer(engine, request('first', { prompt, tenant: 'b' }))
    expect([other.cachedTokens, other.ids]).toEqual([0, alone.get('first')])
    const again = (tenant: string) => readAnswer(engine, request('first', { prompt, tenant }))
    expect((await again('b')).cachedTokens).toBe(96)
    await engine.forgetTenant('b')
    expect([(await again('b')).cachedTokens, (await again('')).cachedTokens]).toEqual([0, 96])
    await expect(engine.forgetTenant('')).rejects.toThrow(/means all of them/)
    const off = await readAnswer(engine, request('first', { prompt, cache: false }))
    expect([off.cachedTokens, off.ids]).toEqual([0, alone.get('first')])
  })
})

describe('when blocks run out', () => {
  it('the youngest waits and is continued, and nothing is lost', async () => {
    const tokenBytes = 8 * 5 * 4 * 8 // layers, key heads, head width
    const engine = createEngine({ model, kvBytes: 12 * 16 * tokenBytes, pieceTokens: 32 })
    const requests = Array.from({ length: 4 }, (_, i) =>
      request('first', { prompt: createPrompt(30, i), maxTokens: 60 }),
    )
    const answers = await Promise.all(requests.map((one) => readAnswer(engine, one)))
    const alone: Generation[] = []
    for (const one of requests) alone.push(await answerAlone(model, one, { pieceTokens: 32 }))
    expect(answers.map(idsOf)).toEqual(alone.map(idsOf))
    expect(engine.stats().preemptions).toBeGreaterThan(0)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })
})

describe('an engine without work', () => {
  it('runs what is added after it was told to run', async () => {
    const engine = createEngine({ model })
    await engine.run()
    expect((await readAnswer(engine, request('base'))).ids.length).toBeGreaterThan(0)
  })
})

describe('requests that end early', () => {
  it('give everything back, whenever they are cancelled', async () => {
    const draw = random(3)
    const pick = (below: number): number => Math.floor(draw.uniform() * below)
    const names = Object.keys(experts)
    const engine = createEngine({ model, maxRows: 4, pieceTokens: 32 })
    const open = []
    for (let i = 0; i < 100; i++) {
      const prompt = createPrompt(1 + pick(100), pick(4))
      const one = await engine.add(
        request(names[pick(names.length)]!, { prompt, maxTokens: 5 + pick(40) }),
      )
      open.push(one)
      for (let steps = pick(3); steps > 0; steps--) await engine.step()
      open[pick(open.length)]!.cancel(new Error('enough'))
    }
    for (const one of open) one.cancel(new Error('enough'))
    await engine.run()
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    expect(engine.stats().cancelled).toBeGreaterThan(20)
  })

  it('throw their reason at the reader, and leave others alone', async () => {
    const engine = createEngine({ model })
    const control = new AbortController()
    const long = readAnswer(engine, request('first', { maxTokens: 300, signal: control.signal }))
    const other = readAnswer(engine, request('second'))
    await engine.step()
    control.abort(new Error('gone'))
    await expect(long).rejects.toThrow('gone')
    expect((await other).ids).toEqual((await answerAlone(model, request('second'))).ids)
  })

  it('a stage that throws ends its own request only', async () => {
    const engine = createEngine({ model })
    const stage: LogitsStage<undefined> = { run: () => Promise.reject(new Error('broken stage')) }
    const broken = readAnswer(engine, request('base', { stage: chooseStage(stage, undefined) }))
    const other = readAnswer(engine, request('wide'))
    await expect(broken).rejects.toThrow('broken stage')
    expect((await other).ids).toEqual((await answerAlone(model, request('wide'))).ids)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })
})

/** Steps until so many tokens are written; other work gets its turn between two steps. */
async function stepUntilWritten(engine: Engine, tokens: number): Promise<void> {
  while (engine.stats().writtenTokens < tokens) {
    await engine.step()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('names', () => {
  it('switch to a new version between requests; those in flight finish on the old one', async () => {
    const engine = createEngine({ model })
    await engine.registerAdapter('tales', experts['first']!)
    const running = readAnswer(engine, request('base', { adapter: 'tales', maxTokens: 30 }))
    await stepUntilWritten(engine, 5)
    await engine.registerAdapter('tales', experts['second']!)
    const later = readAnswer(engine, request('base', { adapter: 'tales', maxTokens: 30 }))
    expect((await running).ids).toEqual(
      (await answerAlone(model, request('first', { maxTokens: 30 }))).ids,
    )
    expect((await later).ids).toEqual(
      (await answerAlone(model, request('second', { maxTokens: 30 }))).ids,
    )
  })

  it('are forgotten at once, and given back when the last request ends', async () => {
    const engine = createEngine({ model })
    await engine.registerAdapter('tales', experts['first']!)
    const answers = [1, 2, 3, 4].map((seed) =>
      readAnswer(
        engine,
        request('base', { adapter: 'tales', maxTokens: 20, temperature: 1, seed }),
      ),
    )
    await stepUntilWritten(engine, 5)
    const unloaded = engine.unloadAdapter('tales')
    await expect(readAnswer(engine, request('base', { adapter: 'tales' }))).rejects.toThrow(
      NotFoundError,
    )
    const texts = await Promise.all(answers)
    await unloaded
    expect(texts.every(({ ids }) => ids.length === 20)).toBe(true)
    expect(engine.stats().experts.names).toBe(0)
  })
})

describe('bad requests are refused before anything is queued', () => {
  it.each<[string, () => Partial<EngineRequest>, new (message: string) => Error, RegExp]>([
    ['too long', () => ({ prompt: createPrompt(600) }), ContextLengthError, /600.*512/],
    ['empty', () => ({ prompt: [] }), OptionError, /empty/],
    ['an id that is none', () => ({ prompt: [1, 512] }), OptionError, /512/],
    ['an unknown expert', () => ({ adapter: 'nobody' }), NotFoundError, /nobody/],
    ['a wrong option', () => ({ temprature: 1 }) as never, OptionError, /temprature.*temperature/],
    [
      'weights that are not numbers',
      () => {
        const { mixture: _mixture, ...adapter } = experts['first'] as never as { mixture: never }
        const broken = adapter as never as { tensors: Map<string, ReturnType<typeof f32>> }
        const tensors = [...broken.tensors].map(
          ([key, { shape, data }]) => [key, f32(shape, data.slice().fill(Number.NaN))] as const,
        )
        return { adapter: Object.assign({}, adapter, { tensors: new Map(tensors) }) as never }
      },
      NumericError,
      /NaN/,
    ],
  ])('%s', async (_, more, error, message) => {
    const engine = createEngine({ model })
    const other = readAnswer(engine, request('first'))
    const bad = readAnswer(engine, request('base', more()))
    await expect(bad).rejects.toThrow(error as never)
    await expect(bad).rejects.toThrow(message)
    expect((await other).reason).toBeDefined()
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('an expert for another base', async () => {
    const engine = createEngine({ model })
    const wrong = createExpert(model.base, 'lora', { rank: 2, targets: ['q_proj'] }, 1)
    const tensors = [...wrong.tensors].map(
      ([key, { shape }]) => [key, f32(shape.map((size) => size + 1))] as const,
    )
    const adapter = { ...wrong, tensors: new Map(tensors) }
    await expect(readAnswer(engine, request('base', { adapter }))).rejects.toThrow(MismatchError)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('blocks that hold no sequence', async () => {
    expect(() => createEngine({ model, kvBytes: 100 })).toThrow(/kvBytes: got 100/)
    const engine = createEngine({ model, kvBytes: 4 * 16 * 8 * 5 * 4 * 8 })
    await expect(
      readAnswer(engine, request('base', { prompt: createPrompt(100) })),
    ).rejects.toThrow(/needs 7 blocks.*has 4/)
  })
})
