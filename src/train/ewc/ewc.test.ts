// Importance against squared gradients of whole weights, the penalty against its dense form and
// finite differences, the file against tampering.

import { beforeAll, describe, expect, it } from 'vitest'
import { memoryFolder, storiesModel } from '../../../test/support/train.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { FormatError, MismatchError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { encodeData, type EncodedSequence } from '../data/encode.ts'
import { createRawDataset } from '../data/jsonl.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import type { Batch } from '../batches/batch.ts'
import { buildBatch } from '../batches/packing.ts'
import { consolidate } from './consolidate.ts'
import { measureSquares } from './importance.ts'
import { createEwcPenalty } from './penalty.ts'
import { listLoraLayers } from './lora-layers.ts'
import { ewcFile, type EwcState, loadEwcState, saveEwcState } from './state.ts'

let model: TrainableModel
let adapter: Adapter
let rows: readonly EncodedSequence[]
const path = 'model.layers.1.self_attn.o_proj'
const keyA = `base_model.model.${path}.lora_A.weight`
const keyB = `base_model.model.${path}.lora_B.weight`
const rank = 3
const width = 64
const scale = 2

const drawn = (shape: readonly number[], seed: number, size = 1): F32Tensor => {
  const draw = random(seed)
  return f32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => size * draw.normal()),
  )
}

beforeAll(async () => {
  model = await storiesModel()
  const fresh = initializeAdapter(
    'lora',
    { rank, alpha: rank * scale, targets: [path] },
    model.base.graph,
    { seed: 1 },
  )
  adapter = {
    ...fresh,
    tensors: new Map([...fresh.tensors, [keyB, drawn([width, rank], 2, 0.02)]]),
  }
  const texts = Array.from({ length: 40 }, (_, i) => ({
    text: `${['Lily', 'Tom', 'A cat', 'The dog'][i % 4]} saw ${i} big balls.`,
  }))
  rows = encodeData(createRawDataset(texts, 'texts'), {
    tokenizer: model.base.tokenizer!,
    maxTokens: 32,
  }).rows
})

/** Rows as one batch, its loss the mean of their labels. */
function batchOf(some: readonly EncodedSequence[]): Batch {
  const labels = some.flatMap(({ weights }) => [...weights]).reduce((a, b) => a + b, 0)
  return buildBatch(
    some,
    some.map((_, n) => [n]),
    { scale: 1 / labels },
  )
}

/**
 * Squares of ∂loss/∂W summed by row and by column, over batches: a detour whose A is the identity
 * has it as B's gradient.
 */
async function exactSums(batches: readonly Batch[]): Promise<{ out: number[]; in: number[] }> {
  const whole = initializeAdapter(
    'lora',
    { rank: width + rank, alpha: width + rank, targets: [path] },
    model.base.graph,
    { seed: 0 },
  )
  const program = await createGradientProgram({
    graph: model.base.graph,
    weights: await model.weights(),
    backend: model.backend,
    adapter: whole,
    trainable: [keyB],
  })
  const a = f32([width + rank, width])
  const b = f32([width, width + rank])
  const oldA = adapter.tensors.get(keyA)!.data as Float32Array
  const oldB = adapter.tensors.get(keyB)!.data as Float32Array
  for (let i = 0; i < width; i++) a.data[i * width + i] = 1
  a.data.set(oldA, width * width)
  for (let i = 0; i < width; i++)
    for (let k = 0; k < rank; k++)
      b.data[i * (width + rank) + width + k] = scale * oldB[i * rank + k]!
  const sums = {
    out: Array.from({ length: width }, () => 0),
    in: Array.from({ length: width }, () => 0),
  }
  for (const batch of batches) {
    const { gradients } = await program.gradients(
      batch,
      new Map([
        [keyA, a],
        [keyB, b],
      ]),
    )
    const values = gradients.get(keyB)!.data as Float32Array
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++) {
        const square = values[i * (width + rank) + j]! ** 2
        sums.out[i]! += square
        sums.in[j]! += square
      }
  }
  await program.dispose()
  return sums
}

const withMeanOne = (values: readonly number[]): number[] => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return values.map((value) => value / mean)
}
const distance = (a: ArrayLike<number>, b: readonly number[]): number =>
  Math.hypot(...b.map((v, i) => v - a[i]!)) / Math.hypot(...b)

describe('importance', () => {
  it('is the squared gradient of the whole weight, summed by row and by column', async () => {
    const state = await consolidate({ model, adapter, rows, sample: rows.length })
    const exact = await exactSums(rows.map((row) => batchOf([row])))
    const { fisherOut, fisherIn } = state.modules.get(path)!
    expect(distance(fisherOut.data, withMeanOne(exact.out))).toBeLessThan(0.25)
    expect(distance(fisherIn.data, withMeanOne(exact.in))).toBeLessThan(0.25)
    // What no gradient went into would be flat: the exact values are far from that.
    expect(
      distance(
        Array.from({ length: width }, () => 1),
        withMeanOne(exact.in),
      ),
    ).toBeGreaterThan(0.4)
  })

  it('squares the gradient of a whole batch, in its true size', async () => {
    const batch = batchOf(rows.slice(0, 3))
    const layers = listLoraLayers(model.base.graph, adapter)
    const batches = Array.from({ length: 240 }, () => batch) // as many draws of the probes
    const measuring = measureSquares({ model, adapter, layers, batches, seed: 3 })
    let next = await measuring.next()
    while (!next.done) next = await measuring.next()
    const exact = await exactSums([batch])
    const sums = next.value.get(path)!
    for (const side of ['out', 'in'] as const)
      expect(
        distance(
          sums[side].map((value) => value / batches.length),
          exact[side],
        ),
      ).toBeLessThan(0.15)
  })

  it('of several tasks is their mean, weighted by how much they have faded', async () => {
    const first = await consolidate({ model, adapter, rows: rows.slice(0, 3) })
    const second = await consolidate({ model, adapter, rows: rows.slice(3, 6) })
    const both = await consolidate({
      model,
      adapter,
      rows: rows.slice(3, 6),
      previous: first,
      decay: 0.5,
    })
    expect([both.tasks, both.weight]).toEqual([2, 1.5])
    const [a, b, mixed] = [first, second, both].map(
      (state) => state.modules.get(path)!.fisherOut.data,
    )
    expect(
      distance(
        mixed!,
        Array.from(b!, (value, i) => (value + 0.5 * a![i]!) / 1.5),
      ),
    ).toBeLessThan(1e-6)
  })

  it('refuses what it cannot protect, and options out of range', async () => {
    const weights = await model.weights()
    const dora = initializeAdapter('dora', { targets: [path] }, model.base.graph, {
      seed: 0,
      weightOf: (name) => weights.get(name)!,
    })
    await expect(consolidate({ model, adapter: dora, rows })).rejects.toThrow(UnsupportedError)
    await expect(consolidate({ model, adapter, rows: [], sample: 0, decay: 2 })).rejects.toThrow(
      /rows: got a list of 0.*sample.*decay/s,
    )
    await expect(consolidate({ model, adapter, rows: [] })).rejects.toThrow(OptionError)
    await expect(consolidate({ model, adapter, rows, smple: 3 } as never)).rejects.toThrow(
      'there is no option "smple". Did you mean "sample"?',
    )
    await expect(consolidate({ model } as never)).rejects.toThrow('adapter, rows must be given')
  })
})

const stateOf = (anchorRank: number): EwcState => ({
  tasks: 2,
  weight: 1.5,
  modules: new Map([
    [
      path,
      {
        fisherOut: f32([width], drawn([width], 5).data.map(Math.abs)),
        fisherIn: f32([width], drawn([width], 6).data.map(Math.abs)),
        anchorA: drawn([anchorRank, width], 7),
        anchorB: drawn([width, anchorRank], 8),
      },
    ],
  ]),
})

/** λ/2 · weight · Σ_ij r_i c_j (ΔW − ΔW*)_ij², with ΔW spelled out. */
function denseValue(state: EwcState, lambda: number, a: Float32Array, b: Float32Array): number {
  const { fisherOut, fisherIn, anchorA, anchorB } = state.modules.get(path)!
  const anchorRank = anchorA.shape[0]!
  let sum = 0
  for (let i = 0; i < width; i++)
    for (let j = 0; j < width; j++) {
      let change = 0
      for (let k = 0; k < rank; k++) change += scale * b[i * rank + k]! * a[k * width + j]!
      for (let k = 0; k < anchorRank; k++)
        change -= anchorB.data[i * anchorRank + k]! * anchorA.data[k * width + j]!
      sum += fisherOut.data[i]! * fisherIn.data[j]! * change ** 2
    }
  return (lambda / 2) * state.weight * sum
}

describe('penalty', () => {
  const parametersOf = () =>
    new Map([
      [keyA, drawn([rank, width], 3)],
      [keyB, drawn([width, rank], 4)],
    ])
  const zerosLike = () =>
    new Map([
      [keyA, f32([rank, width])],
      [keyB, f32([width, rank])],
    ])

  it.each([rank, 5])(
    'has the value and the gradient of its dense form, with an anchor of rank %i',
    (anchorRank) => {
      const state = stateOf(anchorRank)
      const lambda = 0.3
      const parameters = parametersOf()
      const gradients = zerosLike()
      const a = parameters.get(keyA)!.data
      const b = parameters.get(keyB)!.data
      const value = createEwcPenalty(state, lambda, listLoraLayers(model.base.graph, adapter)).add(
        parameters,
        gradients,
      )
      expect(value / denseValue(state, lambda, a, b)).toBeCloseTo(1, 5)
      for (const [key, values] of [
        [keyA, a],
        [keyB, b],
      ] as const)
        for (const at of [0, 7, values.length - 1]) {
          const kept = values[at]!
          const step = 1e-2
          values[at] = kept + step
          const above = denseValue(state, lambda, a, b)
          values[at] = kept - step
          const below = denseValue(state, lambda, a, b)
          values[at] = kept
          expect(gradients.get(key)!.data[at]! / ((above - below) / (2 * step))).toBeCloseTo(1, 3)
        }
    },
  )

  it('refuses the state of another adapter, naming each module', () => {
    const [kept] = [...stateOf(2).modules.values()]
    const other = {
      ...stateOf(2),
      modules: new Map([
        [path, { ...kept!, fisherIn: f32([width + 1]) }],
        ['model.layers.9.x', kept!],
      ]),
    }
    const make = () => createEwcPenalty(other, 1, listLoraLayers(model.base.graph, adapter))
    expect(make).toThrow(MismatchError)
    expect(make).toThrow(/o_proj.*parts of different sizes[\s\S]*layers\.9\.x/)
  })

  it('is nothing where ΔW is the anchor, whatever A and B are', () => {
    const state = stateOf(rank)
    const { anchorA, anchorB } = state.modules.get(path)!
    // The same change from other factors: A doubled, B halved, the adapter's scale taken out.
    const parameters = new Map([
      [
        keyA,
        f32(
          [rank, width],
          anchorA.data.map((value) => 2 * value),
        ),
      ],
      [
        keyB,
        f32(
          [width, rank],
          anchorB.data.map((value) => value / (2 * scale)),
        ),
      ],
    ])
    const gradients = zerosLike()
    expect(
      Math.abs(
        createEwcPenalty(state, 1, listLoraLayers(model.base.graph, adapter)).add(
          parameters,
          gradients,
        ),
      ),
    ).toBeLessThan(1e-4)
    for (const { data } of gradients.values())
      expect(Math.max(...data.map(Math.abs))).toBeLessThan(1e-3)
  })
})

describe('file', () => {
  it('comes back as it was saved, and is refused when it was changed', async () => {
    const folder = memoryFolder()
    expect(await loadEwcState(folder)).toBeUndefined()
    const state = stateOf(2)
    await saveEwcState(state, folder)
    expect(await loadEwcState(folder)).toEqual(state)
    const bytes = folder.files.get(ewcFile)!
    bytes[bytes.length - 3]! ^= 1
    await expect(loadEwcState(folder)).rejects.toThrow(FormatError)
  })
})
