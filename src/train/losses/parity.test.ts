// Losses and gradients of pairs and of distillation against TRL's formulas with torch and PEFT
// (test/parity/make_preferences.py).

import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { openFixtureFolder } from '../../../test/support/parity-folder.ts'
import { storiesModel } from '../../../test/support/train.ts'
import { type Adapter, listParameterSpecs } from '../../adapters/adapter.ts'
import { loadAdapter } from '../../adapters/files/peft.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import { createObjective } from '../objective/objective.ts'
import type { TrainOptions } from '../options/options.ts'
import { resolveRecipe } from '../options/recipe.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { planEpoch, countSharedPrefix } from '../batches/packing.ts'

const parity = new URL('../../../test/parity/', import.meta.url)
const adapterNamed = (name: string): Promise<Adapter> =>
  loadAdapter(openFixtureFolder(name, parity))

let model: TrainableModel
let adapter: Adapter
let teacher: Adapter
const expected = new Map<string, Tensor>()
let rows: EncodedSequence[]
const numbersOf = (name: string): number[] =>
  Array.from(expected.get(name)!.data as Float32Array, Number)

beforeAll(async () => {
  model = await storiesModel()
  ;[adapter, teacher] = await Promise.all([adapterNamed('lora_qv_r8'), adapterNamed('lora_all_rs')])
  const store = await openSafetensors(
    createMemorySource(
      'expected',
      await readFile(new URL('preferences/expected.safetensors', parity)),
    ),
  )
  for (const name of store.tensors.keys()) expected.set(name, await store.read(name))
  rows = numbersOf('prompt').map((prompt, row) => {
    const ids = Int32Array.from(numbersOf(`ids.${row}`))
    return { ids, weights: Float32Array.from(ids, (_, t) => (t >= prompt ? 1 : 0)) }
  })
})

const cases: readonly [string, string, object][] = [
  ['dpo', 'dpo', { beta: 0.3 }],
  ['dpo-smoothed', 'dpo', { beta: 0.5, labelSmoothing: 0.1 }],
  ['dpo-free', 'dpo', { beta: 0.2, referenceFree: true }],
  ['ipo', 'ipo', { beta: 0.2 }],
  ['simpo', 'simpo', { beta: 2, gamma: 1 }],
  ['distillation', 'distillation', { temperature: 2, share: 0.7 }],
  ['distillation-top', 'distillation', { temperature: 1.5, top: 6 }],
  ['distillation-top', 'distillation', { temperature: 1.5, top: 6, ahead: true }],
]

describe.each(cases)('%s as %s %j', (name, loss, lossOptions) => {
  it.each([
    ['padded', false],
    ['packed', true],
  ] as const)('has loss, margins and gradients of the reference, %s', async (_, packing) => {
    const options: TrainOptions = {
      model,
      adapter,
      data: { name: 'pairs', format: 'preference', rows, examples: 3, cut: 0, dropped: 0 },
      loss,
      lossOptions: { ...lossOptions },
      packing,
      batch: { rows: 2, tokens: 40 },
      ...(loss === 'distillation' ? { teacher: { adapter: teacher } } : {}),
    }
    const recipe = resolveRecipe(options)
    const weights = await model.weights()
    const objective = createObjective({ options, recipe, weights })
    const trainable = [...listParameterSpecs(model.base.graph, adapter).keys()]
    const parts = { graph: model.base.graph, weights, backend: model.backend, adapter, trainable }
    const program = await createGradientProgram({ ...parts, loss: objective.graph })
    const data = { rows, shared: packing ? countSharedPrefix(rows) : 0 }
    const asked: number[] = []
    for await (const event of objective.precompute([data]))
      if (event.type === 'rows-asked') asked.push(event.done)
    expect(asked.at(-1)).toBe(
      (loss === 'dpo' || loss === 'ipo') && name !== 'dpo-free'
        ? 6
        : 'ahead' in lossOptions
          ? 6
          : undefined,
    )

    const parameters = new Map(
      [...adapter.tensors].map(([key, tensor]) => [key, f32(tensor.shape, toFloat32(tensor))]),
    )
    const plans = planEpoch(rows, {
      ...recipe.settings.batch,
      packing,
      shared: data.shared,
      together: 2,
      seed: 0,
      epoch: 0,
    })
    const outputs = [] as ReadonlyMap<string, Tensor>[]
    const sums = new Map<string, Float32Array>()
    let total = 0
    for await (const batch of objective.batches(data, plans)) {
      const part = await program.gradients(batch, parameters)
      total += part.loss
      outputs.push(part.outputs!)
      expect((await program.measure(batch, parameters)).loss).toBeCloseTo(part.loss, 5)
      for (const [key, { data: values }] of part.gradients) {
        const known = sums.get(key)
        sums.set(
          key,
          known ? known.map((value, i) => value + Number(values[i])) : (values as Float32Array),
        )
      }
    }
    await Promise.all([program.dispose(), objective.dispose()])

    expect(plans.length).toBeGreaterThan(packing ? 0 : 2)
    expect(total).toBeCloseTo(numbersOf(`${name}.loss`)[0]!, 3)
    const { measures } = objective.report(outputs)
    const margins = expected.has(`${name}.margins`) ? numbersOf(`${name}.margins`) : []
    const { margin = 0, accuracy = 0 } = measures!
    expect(margin).toBeCloseTo(margins.reduce((sum, one) => sum + one, 0) / 3, 3)
    expect(accuracy).toBeCloseTo(margins.filter((one) => one > 0).length / 3, 6)
    for (const key of trainable) {
      const wanted = numbersOf(`${name}.grad.${key}`)
      const got = sums.get(key)!
      const gap = Math.hypot(...wanted.map((value, i) => value - got[i]!)) / Math.hypot(...wanted)
      expect(gap, key).toBeLessThan(2e-4)
    }
  })
})
