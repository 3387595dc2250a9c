// Training through a quantised base: the gradients are those over the f32 model whose weights are
// the dequantised ones.

import { beforeAll, describe, expect, it } from 'vitest'
import { listParameterSpecs } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { MismatchError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { quantizations, type Quantization } from '../../graph/quantized-base/frozen-form-table.ts'
import {
  type BaseWeight,
  isFrozen,
  thaw,
  countWeightBytes,
} from '../../graph/quantized-base/quantize-weight.ts'
import { readQuantized } from '../../graph/read-weights.ts'
import { memoryFolder, storiesModel } from '../../../test/support/train.ts'
import { checkpointIn, countingOptions, endOf, runWith } from '../../../test/support/train-runs.ts'
import type { Batch } from '../batches/batch.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { prepareRun } from './prepare.ts'
import { quantizationKey } from './start-or-resume.ts'
import { train } from './train.ts'

let model: TrainableModel
const quantized = new Map<Quantization, Map<string, BaseWeight>>()

/** Weights in memory behind the contract of a file. */
const storeOf = (weights: ReadonlyMap<string, F32Tensor>) => ({
  name: 'stories',
  metadata: {},
  tensors: new Map(),
  read: async (name: string): Promise<Tensor> => weights.get(name)!,
  close: async () => {},
})

beforeAll(async () => {
  model = await storiesModel()
  const weights = storeOf(await model.weights())
  for (const name of quantizations)
    quantized.set(name, await readQuantized({ graph: model.base.graph, weights }, name))
})

const thawedAll = (weights: ReadonlyMap<string, BaseWeight>): Map<string, F32Tensor> =>
  new Map([...weights].map(([name, weight]) => [name, thaw(weight)]))

/** Two rows on the first line, one on the second. */
function packedBatch(): Batch {
  const { integer } = random(5)
  const rows = 2
  const tokens = 12
  const segments = Int32Array.from({ length: rows * tokens }, (_, i) =>
    i >= 5 && i < tokens ? 1 : 0,
  )
  const scored = Int32Array.of(2, 3, 6, 9, 14, 20)
  return {
    rows,
    tokens,
    segments,
    scored,
    ids: Int32Array.from({ length: rows * tokens }, () => 3 + integer(500)),
    positions: Int32Array.from({ length: rows * tokens }, (_, i) =>
      i < 5 ? i : i < tokens ? i - 5 : i - tokens,
    ),
    labels: Int32Array.from(scored, () => 3 + integer(500)),
    weights: new Float32Array(scored.length).fill(1 / scored.length),
  }
}

interface Case {
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
}

async function gradientsOver(
  weights: ReadonlyMap<string, BaseWeight>,
  { kind, config }: Case,
  checkpointing: boolean | number = false,
) {
  const { graph } = model.base
  const values = thawedAll(weights)
  const adapter = initializeAdapter(kind, config, graph, {
    seed: 1,
    weightOf: (name) => values.get(name)!,
  })
  const trainable = [...listParameterSpecs(graph, adapter)].flatMap(([key, spec]) =>
    spec.trainable ? [key] : [],
  )
  const { normal } = random(9)
  const moved = new Map(
    [...adapter.tensors].map(([key, { shape, data }]) => [
      key,
      f32(
        shape,
        Float32Array.from(data as Float32Array, (value) => value + 0.05 * normal()),
      ),
    ]),
  )
  const program = await createGradientProgram({
    graph,
    weights,
    backend: model.backend,
    adapter,
    trainable,
    checkpointing,
  })
  try {
    return await program.gradients(packedBatch(), moved)
  } finally {
    await program.dispose()
  }
}

/** ‖a − b‖ / ‖b‖ over all tensors together. */
function relativeGap(a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>): number {
  let gap = 0
  let size = 0
  for (const [key, tensor] of b) {
    const other = a.get(key)!.data as Float32Array
    Array.from(tensor.data as Float32Array).forEach((value, i) => {
      gap += (other[i]! - value) ** 2
      size += value ** 2
    })
  }
  return Math.sqrt(gap / size)
}

const cases: readonly Case[] = [
  { kind: 'lora', config: { rank: 4, targets: 'all-linear' } },
  { kind: 'lora', config: { rank: 4, targets: ['q_proj', 'v_proj', 'embed_tokens'] } },
  { kind: 'lora', config: { rank: 4, targets: ['q_proj'], modulesToSave: ['lm_head'] } },
  { kind: 'dora', config: { rank: 4, targets: 'all-linear' } },
  { kind: 'ia3', config: {} },
]

describe.each([...quantizations])('a base in %s', (quantization) => {
  it('holds every matrix quantised, and nothing in f32 but vectors', () => {
    const weights = quantized.get(quantization)!
    for (const [name, weight] of weights)
      expect(isFrozen(weight), name).toBe(weight.shape.length === 2)
    const share = countWeightBytes(weights.values()) / countWeightBytes(thawedAll(weights).values())
    // small layers: a block of magnitudes is filled up, norms count
    expect(share).toBeLessThan(quantization === 'nf4' ? 0.2 : 0.31)
  })

  it.each(cases)(
    'gives $kind $config the gradients of the f32 model with its values',
    async (one) => {
      const weights = quantized.get(quantization)!
      const got = await gradientsOver(weights, one)
      const expected = await gradientsOver(thawedAll(weights), one)
      expect(got.loss).toBeCloseTo(expected.loss, 5)
      expect([...got.gradients.keys()]).toEqual([...expected.gradients.keys()])
      expect(relativeGap(got.gradients, expected.gradients)).toBeLessThan(1e-4)
    },
  )

  it('computes the same in segments, and not what the f32 base gives', async () => {
    const weights = quantized.get(quantization)!
    const whole = await gradientsOver(weights, cases[0]!)
    expect(
      relativeGap(
        (await gradientsOver(await model.weights(), cases[0]!)).gradients,
        whole.gradients,
      ),
    ).toBeGreaterThan(1e-3)
    for (const checkpointing of [true, 7]) {
      const cut = await gradientsOver(weights, cases[0]!, checkpointing)
      expect(cut.loss).toBe(whole.loss)
      expect(relativeGap(cut.gradients, whole.gradients)).toBeLessThan(1e-6)
    }
  })

  it('trains: the loss falls, and the adapter records its base', async () => {
    const options = quantizedOptions(quantization)
    const events = []
    for await (const event of train(options)) events.push(event)
    const { adapter, history } = endOf(events)
    expect(history.steps.at(-1)!.loss).toBeLessThan(history.steps[0]!.loss * 0.9)
    expect(adapter.metadata?.[quantizationKey]).toBe(quantization)
  })
})

function quantizedOptions(
  quantization: Quantization,
  changed: Partial<TrainOptions> = {},
): TrainOptions {
  const weights = (async () => quantized.get(quantization)!) as TrainableModel['weights']
  return { ...countingOptions({ ...model, weights }, changed), quantization }
}

it('reads and quantises one matrix after the other, and keeps none of them in f32', async () => {
  const floats = await model.weights()
  let open = 0
  let most = 0
  const read = async (name: string): Promise<Tensor> => {
    most = Math.max(most, ++open)
    await new Promise((resolve) => setTimeout(resolve, 1))
    open--
    return floats.get(name)!
  }
  const weights = await readQuantized(
    { graph: model.base.graph, weights: { ...storeOf(floats), read } },
    'nf4',
  )
  expect(most).toBe(1)
  const kept = new Set(
    [...weights.values()]
      .flatMap((weight) => (isFrozen(weight) ? [...weight.parts.values()] : []))
      .map(({ data }) => data.buffer),
  )
  for (const { data } of floats.values()) expect(kept.has(data.buffer)).toBe(false)
})

describe('bad input', () => {
  it('names a quantisation that does not exist, and what there is', async () => {
    await expect(prepareRun(quantizedOptions('q3' as Quantization))).rejects.toThrow(
      /quantization.*"nf4", "int8"/,
    )
  })
  it('refuses f32 weights where quantised ones were asked for', async () => {
    const options = { ...countingOptions(model), quantization: 'nf4' as const }
    await expect(prepareRun(options)).rejects.toThrow(OptionError)
  })
})

it('a checkpoint of a run over f32 is not gone on from over a quantised base', async () => {
  const checkpoint = checkpointIn(memoryFolder())
  const events = await runWith(countingOptions(model, { checkpoint }))
  expect(endOf(events).adapter.metadata?.[quantizationKey]).toBeUndefined()
  await expect(prepareRun(quantizedOptions('int8', { checkpoint }))).rejects.toThrow(MismatchError)
})
