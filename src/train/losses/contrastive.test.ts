// Texts to embed: losses and gradients against sentence-transformers' MultipleNegativesRankingLoss
// with torch and PEFT (test/parity/make_contrastive.py), and which texts count as negatives.

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
import { planEpoch } from '../batches/packing.ts'
import type { Batch } from '../batches/batch.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { createObjective } from '../objective/objective.ts'
import type { TrainOptions } from '../options/options.ts'
import { resolveRecipe } from '../options/recipe.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { contrastiveLoss } from './contrastive.ts'

const parity = new URL('../../../test/parity/', import.meta.url)
let model: TrainableModel
let adapter: Adapter
let rows: EncodedSequence[]
const expected = new Map<string, Tensor>()
const numbersOf = (name: string): number[] =>
  Array.from(expected.get(name)!.data as Float32Array, Number)

beforeAll(async () => {
  model = await storiesModel()
  adapter = await loadAdapter(openFixtureFolder('lora_qv_r8', parity))
  for (const folder of ['preferences', 'contrastive']) {
    const bytes = await readFile(new URL(`${folder}/expected.safetensors`, parity))
    const store = await openSafetensors(createMemorySource(folder, bytes))
    for (const name of store.tensors.keys()) expected.set(name, await store.read(name))
  }
  // one more token behind each text, as encodeTexts has it
  rows = numbersOf('prompt').map((_, row) => {
    const ids = Int32Array.from([...numbersOf(`ids.${row}`), 2])
    return { ids, weights: Float32Array.from(ids, (__, t) => Math.min(t, 1)) }
  })
})

describe.each([
  ['pairs', 2, { temperature: 0.4 }, false],
  ['pairs', 2, { temperature: 0.4 }, true],
  ['negatives', 3, { pooling: 'last', temperature: 0.2 }, true],
] as const)('%s in groups of %i, %j, packed: %s', (name, groupSize, lossOptions, packing) => {
  it('has loss, cosines and gradients of the reference', async () => {
    const data = { name: 'texts', format: 'contrastive', groupSize, examples: 3, cut: 0 }
    const options: TrainOptions = {
      model,
      adapter,
      data: { ...data, rows, dropped: 0 },
      loss: 'contrastive',
      lossOptions,
      packing,
      batch: { rows: 6, tokens: 60 },
    }
    const recipe = resolveRecipe(options)
    const weights = await model.weights()
    const objective = createObjective({ options, recipe, weights })
    const trainable = [...listParameterSpecs(model.base.graph, adapter).keys()]
    const parts = { graph: model.base.graph, weights, backend: model.backend, adapter, trainable }
    const program = await createGradientProgram({ ...parts, loss: objective.graph })
    const runData = { rows, shared: 0, groupSize }
    const plans = planEpoch(rows, {
      ...recipe.settings.batch,
      packing,
      shared: 0,
      together: groupSize,
      seed: 0,
      epoch: 0,
    })
    const parameters = new Map(
      [...adapter.tensors].map(([key, tensor]) => [key, f32(tensor.shape, toFloat32(tensor))]),
    )
    expect(plans).toHaveLength(1)
    for await (const batch of objective.batches(runData, plans)) {
      const { loss, gradients, outputs } = await program.gradients(batch, parameters)
      expect(loss).toBeCloseTo(numbersOf(`${name}.loss`)[0]!, 3)
      // the epoch's order is another one
      const sorted = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b)
      const cosines = sorted(outputs!.get('cosines')!.data as Float32Array)
      const wanted = sorted(numbersOf(`${name}.cosines`))
      expect(cosines).toHaveLength(wanted.length)
      wanted.forEach((value, i) => expect(cosines[i]).toBeCloseTo(value, 4))
      for (const [key, { data: got }] of gradients) {
        const own = numbersOf(`${name}.grad.${key}`)
        const gap =
          Math.hypot(...own.map((value, i) => value - Number(got[i]))) / Math.hypot(...own)
        expect(gap, key).toBeLessThan(5e-4)
      }
    }
    await Promise.all([program.dispose(), objective.dispose()])
  })
})

/** Texts of one token each in groups. */
const maskOf = (texts: readonly number[], groupSize: number): number[][] => {
  const ids = Int32Array.from(texts)
  const feeds = contrastiveLoss.feeds!(
    {
      batch: { ids, scored: ids.map((_, i) => i) } as Batch,
      labelCounts: texts.map(() => 1),
      groupSize,
      pairWeights: texts.flatMap((_, i) => (i % groupSize === 0 ? [1] : [])),
      verdicts: [],
      grades: [],
      frozen: new Map(),
    },
    contrastiveLoss.complete({}),
  )
  const { data, shape } = feeds.get('contrastive.mask')!
  const [anchors, candidates] = shape as [number, number]
  return Array.from({ length: anchors }, (_, p) =>
    Array.from({ length: candidates }, (__, c) => (Number(data[p * candidates + c]) < 0 ? 0 : 1)),
  )
}

describe('the texts that an anchor is distinguished from', () => {
  it('are all others of the batch, the negatives of other groups too', () => {
    expect(maskOf([1, 2, 3, 4, 5, 6], 3)).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ])
  })
  it.each([
    ['the same text as its positive', [1, 2, 3, 2], [1, 0], [0, 1]],
    ['the anchor itself', [1, 2, 3, 1], [1, 0], [1, 1]],
    ['another positive of the same anchor', [1, 2, 1, 3], [1, 0], [0, 1]],
  ])('are not %s', (_, texts, first, second) => {
    expect(maskOf(texts, 2)).toEqual([first, second])
  })
})
