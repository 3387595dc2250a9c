// Models with convolutions or recurrences: packed and padded rows do not affect each other, and
// training works with every option that saves memory.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listParameterSpecs } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { openBaseModel } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { backend } from '../../../test/support/train.ts'
import { buildBatches, planEpoch } from '../batches/packing.ts'
import type { EncodedData, EncodedSequence } from '../data/encode.ts'
import { createGradientProgram, type GradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import type { TrainOptions } from '../options/options.ts'
import { train } from './train.ts'

const fixtures = new URL('../../../test/parity/architectures_recent/', import.meta.url)

async function openModel(name: string): Promise<TrainableModel> {
  const folder = await openDirectory(new URL(name, fixtures).pathname)
  const base = await openBaseModel({ name, folder })
  let weights: Promise<Map<string, F32Tensor>> | undefined
  return {
    base,
    backend,
    weights: () => (weights ??= readWeights(base) as Promise<Map<string, F32Tensor>>),
  }
}

/** Rows that begin alike, of different lengths, each learned in its second half. */
function createRows(count: number): EncodedSequence[] {
  const dice = random(4)
  return Array.from({ length: count }, () => {
    const length = 6 + dice.integer(20)
    const ids = Int32Array.from({ length }, (_, i) => (i < 3 ? 3 + i : 3 + dice.integer(90)))
    return { ids, weights: Float32Array.from(ids, (_, i) => (i > length / 2 ? 1 : 0)) }
  })
}

describe.each([
  ['lfm2', ['in_proj', 'out_proj', 'w1', 'q_proj']],
  ['qwen3_5_text', ['in_proj_qkv', 'in_proj_a', 'out_proj', 'q_proj']],
])('%s', (name, targets) => {
  let model: TrainableModel
  let program: GradientProgram
  let parameters: ReadonlyMap<string, F32Tensor>
  const rows = createRows(12)

  beforeAll(async () => {
    model = await openModel(name)
    const { graph } = model.base
    const adapter = initializeAdapter('lora', { rank: 3, targets, start: 'random' }, graph, {
      seed: 3,
    })
    parameters = new Map(
      [...adapter.tensors].map(([key, { shape, data }]) => [key, f32(shape, data as Float32Array)]),
    )
    const trainable = [...listParameterSpecs(graph, adapter).keys()]
    const weights = await model.weights()
    program = await createGradientProgram({ graph, weights, backend, adapter, trainable })
  })
  afterAll(() => program.dispose())

  async function measure(packing: boolean) {
    const plans = planEpoch(rows, { rows: 3, tokens: 48, packing, shared: 0, seed: 1, epoch: 0 })
    const sums = new Map<string, Float64Array>()
    let loss = 0
    for (const batch of buildBatches({ rows, shared: 0 }, plans)) {
      const part = await program.gradients(batch, parameters)
      loss += part.loss
      for (const [key, { data }] of part.gradients) {
        const sum = sums.get(key) ?? new Float64Array(data.length)
        sums.set(
          key,
          sum.map((value, i) => value + Number(data[i])),
        )
      }
    }
    return { loss, sums, lines: plans.flat().length }
  }

  it('gives the same loss and gradients padded and packed: nothing leaks', async () => {
    const [padded, packed] = [await measure(false), await measure(true)]
    expect(packed.lines).toBeLessThan(padded.lines)
    expect(packed.loss).toBeCloseTo(padded.loss, 4)
    const far = [...padded.sums].filter(([key, sum]) => {
      const other = packed.sums.get(key)!
      const gap = Math.hypot(...sum.map((value, i) => value - other[i]!))
      return !(gap < 5e-4 * Math.hypot(...sum))
    })
    expect(far.map(([key]) => key)).toEqual([])
  })

  it.each([
    ['plainly', {}],
    ['with checkpointing', { checkpointing: true }],
  ] satisfies [string, Partial<TrainOptions>][])('learns %s', async (_, more) => {
    const counts = { examples: rows.length, cut: 0, dropped: 0 }
    const data: EncodedData = { name: 'rows', format: 'encoded', rows, ...counts }
    const options: TrainOptions = {
      model,
      data,
      adapter: { kind: 'lora', config: { rank: 4, alpha: 8, targets } },
      steps: 12,
      batch: { rows: 2, tokens: 48 },
      packing: true,
      learningRate: 0.02,
      ...more,
    }
    const losses: number[] = []
    for await (const event of train(options)) if (event.type === 'step-end') losses.push(event.loss)
    expect(losses).toHaveLength(12)
    expect(losses.at(-1)!).toBeLessThan(losses[0]!)
  })
})
