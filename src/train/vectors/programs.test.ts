import { beforeAll, describe, expect, it } from 'vitest'
import { backend as onnx, furthest, relativeDistance } from '../../../test/support/adapters.ts'
import { type Adapter, listParameterSpecs } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { createStandaloneForward } from '../../adapters/vectors/forward.ts'
import { createStandaloneModel } from '../../adapters/vectors/model.ts'
import { UnsupportedError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { referenceBackend } from '../../compute/reference.ts'
import { createGraphProgram } from './graph-program.ts'
import { createStandaloneProgram } from './program-table.ts'
import type { StandaloneProgram } from './program.ts'
import type { VectorBatch } from './vector-batch.ts'

const width = 12
const rows = 7
const model = createStandaloneModel(width)
const generator = random(5)
const normals = (size: number): Float32Array =>
  Float32Array.from({ length: size }, () => generator.normal())
let batch: VectorBatch
beforeAll(() => {
  const weights = Float32Array.of(0.1, 0.3, 0, 0.2, 0.15, 0.05, 0.2)
  batch = { rows, width, inputs: normals(rows * width), targets: normals(rows * width), weights }
})

/** An adapter whose every tensor is random, so that no gradient is zero by the start. */
function shaken(kind: string, options: Record<string, unknown>): Adapter {
  const { graph, weightOf } = model
  const adapter = initializeAdapter(kind, options, graph, { seed: 1, weightOf })
  const tensors = [...adapter.tensors].map(([key, { shape, data }]): [string, Tensor] => [
    key,
    f32(
      shape,
      (data as Float32Array).map((value) => value + 0.3 * generator.normal()),
    ),
  ])
  return { ...adapter, tensors: new Map(tensors) }
}

const trainableOf = (adapter: Adapter): string[] =>
  [...listParameterSpecs(model.graph, adapter)].flatMap(([key, { trainable }]) =>
    trainable ? [key] : [],
  )

const graphOf = (adapter: Adapter): Promise<StandaloneProgram> =>
  createGraphProgram({ model, adapter, backend: referenceBackend, trainable: trainableOf(adapter) })

/** The loss by the forward pass that users call, in double precision from there on. */
function lossByForward(adapter: Adapter, { inputs, targets, weights }: VectorBatch): number {
  const y = createStandaloneForward(adapter, width)(inputs)
  return y.reduce(
    (sum, value, i) => sum + (weights[Math.floor(i / width)]! * (value - targets[i]!) ** 2) / width,
    0,
  )
}

const loraForms = {
  'two layers': { rank: 3, alpha: 6, targets: ['q_proj', 'v_proj'] },
  'all layers, rsLoRA, ranks of their own': {
    rank: 2,
    rankStabilized: true,
    rankPattern: { k_proj: 5 },
    targets: 'all-linear',
  },
  'one layer with dropout': { rank: 4, dropout: 0.4, targets: ['up_proj'] },
  'several layers with dropout': { rank: 2, dropout: 0.25, targets: 'attention' },
}

describe.each(Object.entries(loraForms))('LoRA on %s', (_, options) => {
  it('has the loss and the gradients that the graph engine derives', async () => {
    const adapter = shaken('lora', options)
    const own = await createStandaloneProgram({ model, adapter, backend: referenceBackend })
    const graph = await graphOf(adapter)
    const got = await own.gradients(batch, adapter.tensors, { dropoutSeed: 9 })
    const expected = await graph.gradients(batch, adapter.tensors, { dropoutSeed: 9 })
    expect(got.loss).toBeCloseTo(expected.loss, 5)
    expect([...got.gradients.keys()].sort()).toEqual([...expected.gradients.keys()].sort())
    for (const [key, { shape, data }] of expected.gradients) {
      expect(got.gradients.get(key)!.shape).toEqual(shape)
      expect(relativeDistance(got.gradients.get(key)!.data, data)).toBeLessThan(1e-5)
    }
    expect(await own.loss(batch, adapter.tensors)).toBeCloseTo(
      await graph.loss(batch, adapter.tensors),
      5,
    )
  })
})

const kinds: readonly (readonly [string, Record<string, unknown>])[] = [
  ['lora', { rank: 3, targets: 'attention' }],
  ['dora', { rank: 2, targets: ['q_proj', 'up_proj'] }],
  ['ia3', {}],
  ['lokr', { rank: 2, targets: ['v_proj'] }],
  ['vera', { rank: 3, targets: ['q_proj'] }],
]

// DoRA's norm is a constant for the gradient by its own definition, so differences of the loss are
// another slope.
describe.each(kinds.filter(([kind]) => kind !== 'dora'))('%s', (kind, options) => {
  it('has the slope that finite differences have', async () => {
    const adapter = shaken(kind, options)
    const program = await createStandaloneProgram({ model, adapter, backend: referenceBackend })
    const { gradients } = await program.gradients(batch, adapter.tensors)
    const losses = (key: string, at: number, step: number): number => {
      const { shape, data } = adapter.tensors.get(key)!
      const moved = (data as Float32Array).slice()
      moved[at]! += step
      return lossByForward(
        { ...adapter, tensors: new Map([...adapter.tensors, [key, f32(shape, moved)]]) },
        batch,
      )
    }
    for (const [key, { data }] of gradients) {
      const at = data.reduce(
        (best, value, i) => (Math.abs(value) > Math.abs(data[best]!) ? i : best),
        0,
      )
      const slope = (losses(key, at, 5e-3) - losses(key, at, -5e-3)) / 1e-2
      expect(slope / data[at]!).toBeCloseTo(1, 2)
    }
  })
})

describe.each(kinds)('%s', (kind, options) => {
  it('loses what the forward pass loses', async () => {
    const adapter = shaken(kind, options)
    const program = await createStandaloneProgram({ model, adapter, backend: onnx })
    expect(await program.loss(batch, adapter.tensors)).toBeCloseTo(lossByForward(adapter, batch), 4)
    await program.dispose()
  })
})

describe('the choice of a program', () => {
  it('refuses soft prompts, which read no vectors', async () => {
    const adapter = {
      kind: 'prompt-tuning',
      config: { targets: [], exclude: [], layersPattern: [], dropout: 0 },
    }
    await expect(
      createStandaloneProgram({ model, adapter, backend: referenceBackend }),
    ).rejects.toThrow(UnsupportedError)
  })
  it('takes the graph for LoRA with a bias on B', async () => {
    const adapter = shaken('lora', { rank: 2, loraBias: true, targets: ['q_proj'] })
    const { gradients } = await (
      await createStandaloneProgram({ model, adapter, backend: referenceBackend })
    ).gradients(batch, adapter.tensors)
    expect([...gradients.keys()].some((key) => key.endsWith('lora_B.bias'))).toBe(true)
  })
})

describe('a fresh adapter', () => {
  it.each(['lora', 'dora', 'ia3', 'vera'])('of kind %s changes nothing', (kind) => {
    const { graph, weightOf } = model
    const adapter = initializeAdapter(kind, {}, graph, { seed: 3, weightOf })
    expect(
      furthest(createStandaloneForward(adapter, width)(batch.inputs), batch.inputs),
    ).toBeLessThan(kind === 'dora' ? 1e-6 : 1e-12)
  })
})
