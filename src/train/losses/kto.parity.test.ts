// Losses and gradients of judged answers against TRL's formula with torch and PEFT
// (test/parity/make_kto.py).

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
import { countSharedPrefix, planEpoch } from '../batches/packing.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { createObjective } from '../objective/objective.ts'
import type { TrainOptions } from '../options/options.ts'
import { resolveRecipe } from '../options/recipe.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'

const parity = new URL('../../../test/parity/', import.meta.url)
const verdicts = [true, false, true]

let model: TrainableModel
let adapter: Adapter
let rows: EncodedSequence[]
const expected = new Map<string, Tensor>()
const numbersOf = (name: string): number[] =>
  Array.from(expected.get(name)!.data as Float32Array, Number)

beforeAll(async () => {
  model = await storiesModel()
  adapter = await loadAdapter(openFixtureFolder('lora_qv_r8', parity))
  for (const folder of ['preferences', 'kto']) {
    const bytes = await readFile(new URL(`${folder}/expected.safetensors`, parity))
    const store = await openSafetensors(createMemorySource(folder, bytes))
    for (const name of store.tensors.keys()) expected.set(name, await store.read(name))
  }
  rows = numbersOf('prompt').map((prompt, row) => {
    const ids = Int32Array.from(numbersOf(`ids.${row}`))
    const weights = Float32Array.from(ids, (_, t) => (t >= prompt ? 1 : 0))
    return row % 2 === 0 ? { ids, weights, isGood: verdicts[row >> 1]! } : { ids, weights }
  })
})

const weighed = { beta: 0.3, desirableWeight: 1.3, undesirableWeight: 0.6 }

describe.each([
  ['one-batch', weighed, 8, false],
  ['one-batch', weighed, 8, true],
  ['three-batches', {}, 2, false],
] as const)('kto in %s, %j, %i lines, packed: %s', (name, lossOptions, lines, packing) => {
  it('has loss, rewards and gradients of the reference', async () => {
    const data = { name: 'judged', format: 'judged', judged: true, examples: 3, cut: 0, dropped: 0 }
    const options: TrainOptions = {
      model,
      adapter,
      data: { ...data, rows },
      loss: 'kto',
      lossOptions: { ...lossOptions },
      packing,
      batch: { rows: lines, tokens: 40 },
    }
    const recipe = resolveRecipe(options)
    const weights = await model.weights()
    const objective = createObjective({ options, recipe, weights })
    const trainable = [...listParameterSpecs(model.base.graph, adapter).keys()]
    const parts = { graph: model.base.graph, weights, backend: model.backend, adapter, trainable }
    const program = await createGradientProgram({ ...parts, loss: objective.graph })
    const runData = { rows, shared: packing ? countSharedPrefix(rows) : 0 }
    const asked = objective.precompute([runData])
    while (!(await asked.next()).done);
    const plans = planEpoch(rows, {
      ...recipe.settings.batch,
      packing,
      shared: runData.shared,
      together: 2,
      seed: 0,
      epoch: 0,
    })
    const parameters = new Map(
      [...adapter.tensors].map(([key, tensor]) => [key, f32(tensor.shape, toFloat32(tensor))]),
    )
    const outputs: ReadonlyMap<string, Tensor>[] = []
    const sums = new Map<string, Float32Array>()
    let total = 0
    for await (const batch of objective.batches(runData, plans)) {
      const part = await program.gradients(batch, parameters)
      total += part.loss
      outputs.push(part.outputs!)
      for (const [key, { data: values }] of part.gradients) {
        const known = sums.get(key) ?? new Float32Array(values.length)
        sums.set(
          key,
          known.map((value, i) => value + Number(values[i])),
        )
      }
    }
    await Promise.all([program.dispose(), objective.dispose()])

    expect(total).toBeCloseTo(numbersOf(`${name}.loss`)[0]!, 4)
    const { measures } = objective.report(outputs)
    const [first, bad, last] = numbersOf(`${name}.rewards`)
    expect(measures!['good']).toBeCloseTo((first! + last!) / 2, 3)
    expect(measures!['bad']).toBeCloseTo(bad!, 3)
    const divergences = numbersOf(`${name}.divergence`)
    expect(measures!['divergence']).toBeCloseTo(
      divergences.reduce((sum, one) => sum + one, 0) / divergences.length,
      3,
    )
    for (const key of trainable) {
      const wanted = numbersOf(`${name}.grad.${key}`)
      const got = sums.get(key)!
      const gap = Math.hypot(...wanted.map((value, i) => value - got[i]!)) / Math.hypot(...wanted)
      expect(gap, key).toBeLessThan(2e-4)
    }
  })
})
