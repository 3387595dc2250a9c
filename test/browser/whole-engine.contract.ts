// The contract of the whole engine: one model that answers, is trained on, served with adapters and
// mixtures, merged and learned on. Its numbers and texts are the same in Node, in a page, and in a
// worker of a page.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../src/adapters/adapter.ts'
import { createAdapter } from '../../src/adapters/create-adapter.ts'
import { createLearner } from '../../src/learn/learner.ts'
import { merge } from '../../src/merge/merge.ts'
import type { Model } from '../../src/runtime/model.ts'
import type { TrainOptions } from '../../src/train/options/options.ts'
import type { TrainableModel } from '../../src/train/programs/trainable-model.ts'
import { train } from '../../src/train/run/train.ts'

/** stories260k on some backend. */
export interface OpenedEngine {
  readonly model: Model & TrainableModel
  /** Writes an adapter as files and reads it again. */
  saveAndLoad(adapter: Adapter): Promise<Adapter>
}

const rows = [
  'Once upon a time, there was a cat.',
  'The dog went to the park to play.',
  'Lily liked to sing all day.',
  'Tom had a red ball.',
].map((text) => ({ text }))

export const trainSettings = {
  data: rows,
  adapter: { kind: 'lora', config: { targets: 'all-linear', rank: 8 } },
  steps: 5,
  batch: { rows: 2, tokens: 32 },
  maxTokens: 32,
  learningRate: 0.01,
  seed: 1,
} satisfies Omit<TrainOptions, 'model'>

export const knownLosses = [3.508412, 3.508412, 1.407098, 1.118361, 0.876448]
export const prompt = 'Once upon a time'
export const baseText = ', there was a little girl named Lily. She loved to play outsid'
const greedy = { maxTokens: 20, temperature: 0 }

const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

export function describeWholeEngine(place: string, open: () => Promise<OpenedEngine>): void {
  describe(`the whole engine in ${place}`, () => {
    let engine: OpenedEngine
    let expert: Adapter
    beforeAll(async () => {
      engine = await open()
    })
    afterAll(() => engine.model.dispose())

    it('writes the known text', async () => {
      expect(await engine.model.complete(prompt, greedy)).toBe(baseText)
    })
    it('trains with the known losses', async () => {
      const losses: number[] = []
      for await (const event of train({ ...trainSettings, model: engine.model })) {
        if (event.type === 'step-end') losses.push(event.loss)
        if (event.type === 'train-end') expert = event.adapter
      }
      expect(losses.length).toBe(knownLosses.length)
      for (const [i, loss] of losses.entries())
        expect(Math.abs(loss / knownLosses[i]! - 1)).toBeLessThan(1e-5)
    })
    it('swaps: base, expert, base again', async () => {
      const { model } = engine
      const taught = await model.complete(prompt, { ...greedy, adapter: expert })
      expect(taught.startsWith(', there was a cat.')).toBe(true)
      expect(await model.complete(prompt, greedy)).toBe(baseText)
      expect(await model.complete(prompt, { ...greedy, adapter: expert })).toBe(taught)
    })
    it('serves an adapter that was saved and loaded as the one that was trained', async () => {
      const loaded = await engine.saveAndLoad(expert)
      expect([...loaded.tensors.keys()].sort()).toEqual([...expert.tensors.keys()].sort())
      for (const [key, { data }] of expert.tensors)
        expect(loaded.tensors.get(key)!.data).toEqual(data)
      const [a, b] = await Promise.all(
        [expert, loaded].map((adapter) => engine.model.complete(prompt, { ...greedy, adapter })),
      )
      expect(b).toBe(a)
    })
    it('serves the merge of two experts as their mixture', async () => {
      const { model } = engine
      const other = await createAdapter(
        'lora',
        { rank: 4, targets: 'all-linear', start: 'random' },
        model,
        {
          seed: 3,
        },
      )
      const weights = [0.7, 0.3]
      const merged = merge([expert, other], { method: 'weighted', weights })
      const ids = [model.encode(prompt)]
      const labels = ids.map((row) => [...row])
      const ofMerged = await model.loss(ids, labels, { adapter: merged })
      const ofMixture = await model.loss(ids, labels, {
        adapter: {
          mixture: [
            { adapter: expert, weight: 0.7 },
            { adapter: other, weight: 0.3 },
          ],
        },
      })
      expect(Math.abs(ofMerged - ofMixture)).toBeLessThan(1e-4)
      expect(Math.abs(ofMerged - (await model.loss(ids, labels)))).toBeGreaterThan(0.01)
    })
    it('learns for one user and leaves another as the base', async () => {
      const { model } = engine
      const learner = createLearner({ model })
      const turn = {
        user: 'ada',
        prompt: 'The dog is called',
        completion: ' Bartholomew the Great.',
      }
      const losses: number[] = []
      for (let i = 0; i < 6; i++) losses.push(computeMean((await learner.learn(turn)).losses))
      const before = await learner.loss({ ...turn, user: 'eve' })
      await learner.close()
      expect(losses.at(-1)!).toBeLessThan(losses[0]! / 5)
      expect(Math.abs(before - losses[0]!)).toBeLessThan(1e-5)
    })
  })
}
