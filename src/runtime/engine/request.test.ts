// One request among others in an engine: it takes no more than its share, and its failures affect
// no other request.

import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Adapter } from '../../adapters/index.ts'
import { createEngine } from '../create-engine.ts'
import type { Model } from '../model.ts'
import type { EngineRequest } from './engine.ts'
import { readAnswer } from './generate.ts'
import { chooseStage, type LogitsStage } from './logits/stage.ts'
import {
  answerAlone,
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

const request = (name: keyof typeof experts, more: Partial<EngineRequest> = {}): EngineRequest => ({
  prompt: createPrompt(20),
  maxTokens: 12,
  adapter: experts[name],
  ...more,
})

describe('one request', () => {
  it('gets one token a step, also where rows move because others end', async () => {
    const engine = createEngine({ model })
    let seen: number[] = []
    const stage: LogitsStage<number> = {
      run(contexts, hidden) {
        seen.push(...contexts)
        return model.head().logits(hidden)
      },
    }
    const add = (length: number, maxTokens: number, id: number) =>
      engine.add(
        request('base', {
          prompt: createPrompt(length, id),
          maxTokens,
          minTokens: maxTokens,
          stage: chooseStage(stage, id),
        }),
      )
    // So many short rows have a bank of their own; when seven of them end, the rest is better moved.
    await add(400, 40, 0)
    for (let id = 1; id <= 12; id++) await add(10, id <= 7 ? 4 : 40, id)
    while (engine.hasWork) {
      seen = []
      await engine.step()
      expect(seen).toHaveLength(new Set(seen).size)
    }
    expect(engine.stats()).toMatchObject({ finished: 13, failed: 0 })
  })

  it('whose stage throws in a batch ends alone', async () => {
    const engine = createEngine({ model })
    let calls = 0
    const stage: LogitsStage<undefined> = {
      run: (_, hidden) =>
        ++calls < 3 ? model.head().logits(hidden) : Promise.reject(new Error('broken stage')),
    }
    const broken = readAnswer(engine, request('base', { stage: chooseStage(stage, undefined) }))
    const others = ['base', 'first'].map((name) => readAnswer(engine, request(name)))
    await expect(broken).rejects.toThrow('broken stage')
    expect((await Promise.all(others)).map(({ ids }) => ids.length)).toEqual([12, 12])
  })

  it('reads the states of its own layer, whatever layer others read', async () => {
    const engine = createEngine({ model })
    const tap = (layer: number) => {
      const taps: Float32Array[] = []
      const stage: LogitsStage<undefined> = {
        tapLayer: layer,
        run(_, hidden, states) {
          taps.push(states!.data.slice())
          return model.head().logits(hidden)
        },
      }
      return { taps, one: request('base', { stage: chooseStage(stage, undefined), cache: false }) }
    }
    const alone = [tap(1), tap(3)]
    for (const { one } of alone) await readAnswer(engine, one)
    const together = [tap(1), tap(3)]
    await Promise.all(together.map(({ one }) => readAnswer(engine, one)))
    expect(together.map(({ taps }) => taps)).toEqual(alone.map(({ taps }) => taps))
  })

  it('whose expert has no place fails, and the others go on', async () => {
    const engine = createEngine({ model, expertBytes: 100_000 })
    await engine.registerAdapter('kept', experts['first']!)
    await engine.experts.preload('kept')
    engine.experts.pin('kept')
    const other = readAnswer(engine, request('base'))
    await expect(readAnswer(engine, request('second'))).rejects.toThrow(/[Pp]inned/)
    expect((await other).ids).toHaveLength(12)
  })

  it('in the only slot makes another expert’s preparation wait, not serve the base', async () => {
    const engine = createEngine({ model, expertBytes: 150_000 })
    const running = readAnswer(engine, request('first', { maxTokens: 30, minTokens: 30 }))
    await engine.step()
    const writtenBefore = engine.stats().writtenTokens
    await engine.prepare(experts['second'], 'fast')
    expect(engine.stats().writtenTokens).toBeGreaterThan(writtenBefore)
    expect(engine.stats().experts.evictions).toBe(1)
    expect((await running).ids).toHaveLength(30)
    // What an idle engine cannot give is refused.
    const lease = (await engine.experts.acquire(experts['first']!))!
    await expect(engine.prepare(experts['second'], 'fast')).rejects.toThrow(/expertBytes/)
    engine.experts.release(lease)
    await engine.prepare(experts['second'], 'fast')
  })

  it('that is added when the last one has just ended is served', async () => {
    const engine = createEngine({ model })
    const answers = []
    for (let i = 0; i < 30; i++) {
      const one = await engine.add(request('base', { maxTokens: 1 + (i % 3) }))
      void engine.run()
      for await (const event of one.events)
        if (event.type === 'generation-end')
          answers.push(await readAnswer(engine, request('first', { maxTokens: 2 })))
    }
    expect(answers).toHaveLength(30)
  })

  it('leaves nothing at a signal that outlives it', async () => {
    const { signal } = new AbortController()
    const listen = vi.spyOn(signal, 'addEventListener')
    await answerAlone(model, request('base', { signal }))
    expect(listen).not.toHaveBeenCalled()
  })

  it('refuses text instead of ids, and names an unknown option', async () => {
    const engine = createEngine({ model })
    await expect(engine.add(request('base', { prompt: 'Once' as never }))).rejects.toThrow(
      /prompt: got "Once".*model.encode/,
    )
    await expect(engine.add(request('base', { indx: 1 } as never))).rejects.toThrow(/indx.*index/)
    await engine.dispose()
    await expect(engine.add(request('base'))).rejects.toThrow(/closed/)
  })

  it('of an attached adapter gives cold bits behind the blocks of a shorter prompt', async () => {
    const options = { pieceTokens: 32 }
    const record = () => {
      const seen: Float32Array[] = []
      const stage: LogitsStage<undefined> = {
        run(_, hidden) {
          seen.push(hidden.data.slice())
          return model.head().logits(hidden)
        },
      }
      return { seen, choice: chooseStage(stage, undefined) }
    }
    const cold = record()
    const prompt = createPrompt(120)
    const one = request('attached', { prompt, maxTokens: 2 })
    await answerAlone(model, { ...one, stage: cold.choice }, options)
    const engine = createEngine({ model, ...options })
    // 65 tokens are read as 32, 16 and 17.
    await readAnswer(engine, { ...one, prompt: prompt.slice(0, 65) })
    const warm = record()
    const answer = await readAnswer(engine, { ...one, stage: warm.choice })
    expect(answer.cachedTokens).toBe(32)
    expect(warm.seen).toEqual(cold.seen)
  })

  it.each(['f32', 'f16', 'int8'] as const)(
    'ends where its expert’s own tokenizer ends a text, kept in %s',
    async (cold) => {
      const adapter = experts['first'] as Adapter
      const stories = new URL('../../catalogue/models/stories260k/', import.meta.url)
      const tokenizer = await readFile(new URL('tokenizer.json', stories))
      const config = JSON.parse(await readFile(new URL('tokenizer_config.json', stories), 'utf8'))
      const written = (await answerAlone(model, request('first'))).ids
      const vocabulary = Object.entries(
        JSON.parse(tokenizer.toString()).model.vocab as Record<string, number>,
      )
      const [last] = vocabulary.find(([, id]) => id === written[3])!
      const files = new Map([
        ['tokenizer.json', new Uint8Array(tokenizer)],
        [
          'tokenizer_config.json',
          new TextEncoder().encode(JSON.stringify(Object.assign(config, { eos_token: last }))),
        ],
      ])
      const engine = createEngine({ model, cold })
      await engine.registerAdapter('tales', { ...adapter, text: { files } })
      const answer = await readAnswer(engine, request('first', { adapter: 'tales' }))
      expect(answer.reason).toBe('eos')
      expect(answer.ids.length).toBeLessThan(4)
    },
  )
})
