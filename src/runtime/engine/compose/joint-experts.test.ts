// Experts of several kinds in the engine: in one batch with others, they give the results of an
// exact pass with both parts attached.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../../adapters/index.ts'
import { joinAdapters, splitAdapter } from '../../../adapters/joint/joint-adapters.ts'
import { UnsupportedError } from '../../../base/errors.ts'
import { createEngine } from '../../create-engine.ts'
import type { Model } from '../../model.ts'
import type { EngineRequest } from '../engine.ts'
import { readAnswer } from '../generate.ts'
import {
  countHeld,
  createExperts,
  createPrompt,
  openStories,
} from '../../../../test/support/engine.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>

beforeAll(async () => {
  model = await openStories()
  experts = await createExperts(model)
})
afterAll(() => model.dispose())

const joint = ['joint', 'around', 'scaled'] as const
const prompt = createPrompt(20)

describe('an expert of several kinds', () => {
  it.each(joint)('%s writes what the whole adapter gives without a cache', async (name) => {
    const engine = createEngine({ model })
    const adapter = experts[name] as Adapter
    const { ids } = await readAnswer(engine, { prompt, adapter, maxTokens: 8 })
    const whole = [...prompt, ...ids]
    const { data, shape } = await model.logits([whole], { adapter })
    const width = shape[2]!
    const virtual = shape[1]! - whole.length
    const greedy = ids.map((_, i) => {
      const at = (virtual + prompt.length - 1 + i) * width
      const row = data.subarray(at, at + width)
      return row.indexOf(Math.max(...row))
    })
    expect(greedy).toEqual(ids)
    for (const part of splitAdapter(adapter)) {
      const alone = await readAnswer(engine, { prompt, adapter: part, maxTokens: 8 })
      expect(alone.ids, part.kind).not.toEqual(ids)
    }
  })

  it('is served from slots after its virtual tokens, in a batch with every other expert', async () => {
    const engine = createEngine({ model })
    for (const [name, expert] of Object.entries(experts))
      if (expert) await engine.registerAdapter(name, expert)
    const names = [...joint, 'first', 'prompt', undefined, 'joint', 'ia3', 'first:0.5+second:0.5']
    const alone = []
    for (const adapter of names)
      alone.push(await readAnswer(engine, { prompt, adapter, maxTokens: 12, cache: false }))
    const before = engine.stats()
    const together = await Promise.all(
      names.map((adapter) => readAnswer(engine, { prompt, adapter, maxTokens: 12, cache: false })),
    )
    expect(together.map(({ ids }) => ids)).toEqual(alone.map(({ ids }) => ids))
    // One call for all rows: no row has a program of its own after its first piece.
    expect(engine.stats().steps - before.steps).toBeLessThan(2 * 12)
    expect(engine.experts.list().find(({ name }) => name === 'joint')).toMatchObject({
      form: 'vectors',
      virtualTokens: 8,
    })
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('shares cached prompts only with itself', async () => {
    const engine = createEngine({ model, pieceTokens: 32 })
    const long = createPrompt(70)
    const ask = (name: string) =>
      readAnswer(engine, { prompt: long, adapter: experts[name], maxTokens: 6 })
    const cold = await ask('joint')
    expect((await ask('prompt')).cachedTokens).toBe(0)
    expect((await ask('ia3')).cachedTokens).toBe(0)
    const warm = await ask('joint')
    expect(warm.cachedTokens).toBeGreaterThan(0)
    expect(warm.ids).toEqual(cold.ids)
  })

  it('is what names of a soft prompt and others are at weight 1', async () => {
    const engine = createEngine({ model })
    for (const name of ['prompt', 'prefix', 'first', 'ia3', 'second'])
      await engine.registerAdapter(name, experts[name]!)
    const ask = (adapter: EngineRequest['adapter']) =>
      readAnswer(engine, { prompt: createPrompt(40), adapter, maxTokens: 8 })
    const named = await ask('first+prompt')
    const { ids } = await ask(joinAdapters([experts['first'], experts['prompt']] as Adapter[]))
    expect(named.ids).toEqual(ids)
    const again = await ask('prompt+second:0+first')
    expect(again.ids).toEqual(ids)
    expect(again.cachedTokens).toBeGreaterThan(0)
    expect((await ask('ia3+prompt+first')).ids).not.toEqual(ids)
    await expect(ask('prompt+prefix')).rejects.toThrow(/both put tokens before/)
    await expect(ask('first+second+prompt')).rejects.toThrow(/lora appears twice/)
    await expect(ask('first+prompt:0.5')).rejects.toThrow(/joinAdapters makes one expert/)
  })

  it('is no part of a sum or a fade where it has virtual tokens', async () => {
    const engine = createEngine({ model })
    for (const name of ['joint', 'first', 'scaled', 'ia3'])
      await engine.registerAdapter(name, experts[name]!)
    const add = (adapter: string) => engine.add({ prompt, adapter })
    await expect(add('joint:0.5+first')).rejects.toThrow(UnsupportedError)
    await expect(add('joint:0.5+first')).rejects.toThrow(
      /"joint": its virtual tokens have no weight/,
    )
    await expect(add('joint>4>first')).rejects.toThrow(/stage 1, "joint": its virtual tokens stay/)
    const { ids } = await readAnswer(engine, { prompt, adapter: 'scaled>4>first', maxTokens: 8 })
    expect(ids).toHaveLength(8)
    expect(
      (await readAnswer(engine, { prompt, adapter: 'scaled:0.5', maxTokens: 8 })).ids,
    ).toHaveLength(8)
  })

  it('keeps its own numbers where registered experts are rounded', async () => {
    const engine = createEngine({ model, cold: 'int8' })
    await engine.registerAdapter('joint', experts['joint']!)
    const named = await readAnswer(engine, { prompt, adapter: 'joint', maxTokens: 8 })
    const given = await readAnswer(engine, { prompt, adapter: experts['joint'], maxTokens: 8 })
    expect(named.ids).toEqual(given.ids)
  })
})
