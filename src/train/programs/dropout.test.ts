import { beforeAll, describe, expect, it } from 'vitest'
import { listParameterSpecs } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Batch } from '../batches/batch.ts'
import { addDropoutFeeds } from './dropout.ts'
import { backend, storiesModel } from '../../../test/support/train.ts'
import { createGradientProgram } from './gradient-program.ts'
import type { TrainableModel } from './trainable-model.ts'
import { buildBatch } from '../batches/packing.ts'

let model: TrainableModel
let batch: Batch
beforeAll(async () => {
  model = await storiesModel()
  const ids = Int32Array.from(
    model.base.tokenizer!.encode('Once upon a time there was a little dog named Spot.'),
  )
  batch = buildBatch([{ ids, weights: Float32Array.from(ids, (_, t) => Math.min(t, 1)) }], [[0]])
})

describe('dropoutFeeds', () => {
  const feedsOf = (dropout: number, seed: number): Map<string, Tensor> => {
    const feeds = new Map<string, Tensor>()
    const config = initializeAdapter('lora', { dropout }, model.base.graph, { seed: 0 }).config
    addDropoutFeeds(feeds, model.base.graph.blocks, config, batch, seed)
    return feeds
  }
  it('gives nothing where nothing is dropped', () => {
    expect(feedsOf(0, 1).size).toBe(0)
  })
  it('drops the given share in every layer, each layer otherwise, and keeps the mean', () => {
    const feeds = feedsOf(0.25, 1)
    const masks = [...feeds.values()].map(({ data }) => [...(data as Float32Array)])
    expect(feeds.has('model.layers.4.dropout:self_attn.q_proj')).toBe(true)
    expect(new Set(masks.map((mask) => mask.slice(0, 200).join())).size).toBe(masks.length)
    const all = masks.flat()
    expect(new Set(all)).toEqual(new Set([0, Math.fround(1 / 0.75)]))
    expect(all.reduce((sum, value) => sum + value, 0) / all.length).toBeCloseTo(1, 1)
  })
  it('depends on the seed alone', () => {
    expect(feedsOf(0.25, 5)).toEqual(feedsOf(0.25, 5))
    expect(feedsOf(0.25, 5)).not.toEqual(feedsOf(0.25, 6))
  })
})

describe('a program with dropout', () => {
  it('drops in training, alike however the model is cut, and not when the loss is measured', async () => {
    const { graph } = model.base
    const adapter = initializeAdapter(
      'lora',
      { rank: 4, dropout: 0.3, targets: 'all-linear', start: 'random' },
      graph,
      { seed: 1 },
    )
    const trainable = [...listParameterSpecs(graph, adapter).keys()]
    const weights = await model.weights()
    const losses: number[][] = []
    for (const checkpointing of [false, 3, 7]) {
      const program = await createGradientProgram({
        graph,
        weights,
        backend,
        adapter,
        trainable,
        checkpointing,
      })
      const gradients = async (dropoutSeed: number) =>
        (await program.gradients(batch, adapter.tensors, { dropoutSeed })).loss
      losses.push([
        await gradients(1),
        await gradients(2),
        await program.loss(batch, adapter.tensors),
      ])
      await program.dispose()
    }
    const [one, two, none] = losses[0]!
    expect(new Set([one, two, none]).size).toBe(3)
    for (const other of losses)
      other.forEach((loss, i) => expect(loss).toBeCloseTo(losses[0]![i]!, 3))
  })
})
