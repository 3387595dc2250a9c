// Adapters of a tied base, whose head shares the embedding: a change of both stays one weight in a
// merge, a change of one of them unties them.

import { beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openBaseModel, type BaseModel } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { createModel } from '../../runtime/model.ts'
import { backend, furthest, memorySink } from '../../../test/support/adapters.ts'
import { mergeIntoBase } from '../into-base/merge-into-base.ts'
import { merge } from '../merge.ts'
import type { MergeBase } from '../sources.ts'
import { asFolder, createSmallModel } from '../testing.ts'

const source = asFolder(createSmallModel({ tied: true }))
let model: BaseModel
let base: MergeBase
beforeAll(async () => {
  model = await openBaseModel(source)
  const weights = await readWeights(model)
  base = { model: model.graph, weightOf: (name) => weights.get(name)! }
})

/** An adapter with noise on every tensor. */
function create(kind: string, config: object, seed = 1): Adapter {
  const { weightOf } = base
  const adapter = initializeAdapter(kind, { ...config }, model.graph, { weightOf: weightOf! })
  const noise = random(seed)
  const tensors = [...adapter.tensors].map(
    ([key, tensor]) =>
      [
        key,
        f32(
          tensor.shape,
          toFloat32(tensor).map((value) => value + 0.3 * noise.normal()),
        ),
      ] as const,
  )
  return { ...adapter, tensors: new Map(tensors) }
}
const createLora = (config: object, seed?: number): Adapter =>
  create('lora', { rank: 2, targets: ['q_proj'], ...config }, seed)

/** An embedding that the file holds besides, as trainers save it. */
function createBeside(): Adapter {
  const { config, tensors, ...adapter } = createLora({ modulesToSave: ['embed_tokens'] })
  const { modulesToSave: _, ...others } = config
  return { ...adapter, tensors, config: { ...others, embeddings: ['model.embed_tokens'] } }
}

const ids = [[1, 17, 3, 44, 5, 60, 9]]
async function logitsOf(from: BaseModel, adapter?: Adapter): Promise<Float32Array> {
  const opened = createModel({ base: from, backend })
  try {
    return (await opened.logits(ids, adapter && { adapter })).data
  } finally {
    await opened.dispose()
  }
}
const rows = { trainableTokens: [17, 5] }
const apart = { trainableTokens: { embed_tokens: [17], lm_head: [44, 5] } }

describe('merging into a tied base', () => {
  const cases: [name: string, adapter: () => Adapter, untied: boolean][] = [
    ['rows of tokens', () => createLora(rows), false],
    ['rows of tokens alone', () => create('trainable-tokens', rows), false],
    ['a LoRA of both', () => createLora({ targets: ['lm_head'], ensureWeightTying: true }), false],
    [
      'both saved as one',
      () => createLora({ modulesToSave: ['lm_head'], ensureWeightTying: true }),
      false,
    ],
    ['an embedding beside', createBeside, false],
    ['rows of each', () => createLora(apart), true],
    ['rows of the head', () => createLora({ trainableTokens: { lm_head: [5] } }), true],
  ]
  it.each(cases)('%s: equals the adapter on the base', async (_, make, untied) => {
    const adapter = make()
    const sink = memorySink()
    const parts = [{ adapter, weight: 1 }]
    const result = await mergeIntoBase({ base: model, source }, parts, sink)
    expect(result.untied).toBe(untied)
    const merged = await openBaseModel({ name: 'merged', folder: sink })
    const [own, wanted] = [await logitsOf(merged), await logitsOf(model, adapter)]
    expect(furthest(own, wanted)).toBeLessThan(1e-4)
    expect(furthest(own, await logitsOf(model))).toBeGreaterThan(0.01)
  })

  it('refuses what one weight cannot hold', async () => {
    const adapters = [createLora(apart), createLora(rows)]
    const parts = adapters.map((adapter) => ({ adapter, weight: 1 }))
    await expect(mergeIntoBase({ base: model, source }, parts, memorySink())).rejects.toThrow(
      'adapters[1] changes embedding and head as the one weight that they share, adapters[0] only one of them',
    )
  })
})

describe('a merge of several', () => {
  const kinds: [name: string, make: (seed: number) => Adapter][] = [
    ['rows of tokens alone', (seed) => create('trainable-tokens', rows, seed)],
    [
      'a LoRA of both',
      (seed) => createLora({ targets: ['lm_head'], ensureWeightTying: true }, seed),
    ],
    [
      'both saved as one',
      (seed) => createLora({ modulesToSave: ['lm_head'], ensureWeightTying: true }, seed),
    ],
    ['rows of each', (seed) => createLora(apart, seed)],
  ]
  it.each(kinds)('%s: is the same sum as in the base', async (_, make) => {
    const adapters = [make(1), make(2)]
    const merged = merge(adapters, { weights: [0.4, 0.6], base })
    const [first, second] = [memorySink(), memorySink()]
    const parts = adapters.map((adapter, k) => ({ adapter, weight: [0.4, 0.6][k]! }))
    await mergeIntoBase({ base: model, source }, parts, first)
    await mergeIntoBase({ base: model, source }, [{ adapter: merged, weight: 1 }], second)
    const open = (folder: typeof first) => openBaseModel({ name: 'merged', folder })
    const wanted = await logitsOf(await open(first))
    expect(furthest(await logitsOf(await open(second)), wanted)).toBeLessThan(1e-4)
    expect(furthest(await logitsOf(model, merged), wanted)).toBeLessThan(1e-4)
  })

  it('refuses adapters of which only one holds both as one', () => {
    const one = createLora({ targets: ['lm_head'], ensureWeightTying: true })
    expect(() => merge([one, createLora({ targets: ['lm_head'] })], { base })).toThrow(
      'adapters[0] ties embedding and head (ensure_weight_tying), adapters[1] does not',
    )
    expect(() => merge([createLora(apart), createLora(rows)], { base })).toThrow(
      'trained rows of lm_head,model.embed_tokens, adapters[1] of model.embed_tokens',
    )
  })
})
