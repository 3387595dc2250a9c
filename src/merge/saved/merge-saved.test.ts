// Modules that adapters save whole are merged: every method keeps equal parts, different ones are
// summed as changes of the base, and meaningless combinations are refused by name.

import { beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter, saveAdapter } from '../../adapters/files/peft.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { fromFloat32, toFloat32 } from '../../formats/convert.ts'
import { openBaseModel, type BaseModel } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { memorySink } from '../../../test/support/adapters.ts'
import { createMergedBase } from '../into-base/merge-into-base.ts'
import { merge, type MergeOptions } from '../merge.ts'
import type { MergeBase } from '../sources.ts'
import { asFolder, createSmallModel } from '../testing.ts'

const embedKey = 'base_model.model.model.embed_tokens.weight'
const headKey = 'base_model.model.lm_head.weight'
const rowsKey = 'base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta'

let model: BaseModel
let base: MergeBase
beforeAll(async () => {
  model = await openBaseModel(asFolder(createSmallModel({ tied: false })))
  const weights = await readWeights(model)
  base = { model: model.graph, weightOf: (name) => weights.get(name)! }
})

const create = (config: object, seed: number): Adapter =>
  initializeAdapter(
    'lora',
    { rank: 2, targets: ['q_proj'], start: 'random', ...config },
    model.graph,
    { seed, weightOf: base.weightOf! },
  )
const change = (adapter: Adapter, key: string, by: number): Adapter => {
  const { shape, ...tensor } = adapter.tensors.get(key)!
  const values = toFloat32({ shape, ...tensor } as Tensor).map(
    (value, i) => value + by * Math.sin(i),
  )
  return { ...adapter, tensors: new Map([...adapter.tensors, [key, f32(shape, values)]]) }
}
/** Whole embeddings beside a LoRA, as trainers save them after tokens were added. */
const withTables = (seed: number, value: number, rows = 80): Adapter => {
  const adapter = create({}, seed)
  const table = (): Tensor => ({
    dtype: 'f16',
    shape: [rows, 64],
    data: fromFloat32(new Float32Array(rows * 64).fill(value), 'f16'),
  })
  return {
    ...adapter,
    config: { ...adapter.config, embeddings: ['model.embed_tokens', 'lm_head'] },
    tensors: new Map([...adapter.tensors, [embedKey, table()], [headKey, table()]]),
  }
}
const valuesOf = ({ tensors }: Adapter, key: string): number[] => [...toFloat32(tensors.get(key)!)]

describe('equal embeddings of a larger vocabulary', () => {
  it.each(['ties', 'weighted', 'slerp', 'peft-linear', 'dare-ties'])(
    'are kept as they are by %s, and read again',
    async (method) => {
      const merged = merge([withTables(1, 0.5, 90), withTables(2, 0.5, 90)], { method })
      expect(merged.config.embeddings).toEqual(['model.embed_tokens', 'lm_head'])
      expect(merged.tensors.get(embedKey)).toEqual(withTables(1, 0.5, 90).tensors.get(embedKey))
      const sink = memorySink()
      await saveAdapter(merged, sink)
      const read = await loadAdapter(sink)
      expect(read.config.embeddings?.toSorted()).toEqual(['lm_head', 'model.embed_tokens'])
      expect(read.tensors.get(headKey)).toEqual(merged.tensors.get(headKey))
    },
  )
})

describe('different ones', () => {
  it('are summed without a base where the weights sum to 1', () => {
    const merged = merge([withTables(1, 0.5, 90), withTables(2, 1, 90)], { weights: [0.25, 0.75] })
    expect(new Set(valuesOf(merged, headKey))).toEqual(new Set([0.875]))
  })

  const cases: readonly [string, (seed: number) => Adapter, MergeOptions][] = [
    ['embeddings beside', (seed) => withTables(seed, seed / 4), { weights: [1, 0.5] }],
    [
      'modules_to_save',
      (seed) => change(create({ modulesToSave: ['lm_head', 'norm'] }, seed), headKey, seed / 9),
      {},
    ],
    [
      'other modules in each',
      (seed) => create({ modulesToSave: seed === 1 ? ['lm_head'] : ['model.norm'] }, seed),
      { weights: [2, -1] },
    ],
    [
      'rows of tokens',
      (seed) =>
        change(create({ trainableTokens: seed === 1 ? [3, 7] : [7, 11] }, seed), rowsKey, 1),
      { weights: [0.5, 2] },
    ],
    [
      'one adapter that has none',
      (seed) => (seed === 1 ? withTables(1, 0.5) : create({}, 2)),
      { method: 'average' },
    ],
  ]
  it.each(cases)('%s: W + Σ c·(W_k − W), as folded into the base', async (_, at, options) => {
    const adapters = [at(1), at(2)]
    const merged = merge(adapters, { ...options, base })
    const weights = options.method === 'average' ? [0.5, 0.5] : (options.weights ?? [1, 1])
    const parts = adapters.map((adapter, k) => ({ adapter, weight: (weights as number[])[k]! }))
    const expected = createMergedBase(model, parts).weights
    const got = createMergedBase(model, [{ adapter: merged, weight: 1 }]).weights
    for (const name of model.weights.tensors.keys()) {
      const [one, other] = [await expected.read(name), await got.read(name)].map(toFloat32)
      const furthest = one!.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - other![i]!)),
        0,
      )
      expect(furthest, name).toBeLessThan(2e-6)
    }
  })

  it('need the base where the weights do not sum to 1', () => {
    expect(() => merge([withTables(1, 0.5), withTables(2, 1)])).toThrow(
      'model.embed_tokens was saved whole, and its weights do not sum to 1',
    )
    const trained = create({ trainableTokens: [3, 7] }, 1)
    expect(() => merge([trained, change(trained, rowsKey, 1)])).toThrow('pass the base')
  })

  it('are left out where the targets do not name them', () => {
    const merged = merge([withTables(1, 0.5), withTables(2, 1)], { targets: ['q_proj'] })
    expect(merged.config.embeddings).toBeUndefined()
    expect([...merged.tensors.keys()].filter((key) => key.includes('embed_tokens'))).toEqual([])
    expect(
      merge([withTables(1, 0.5)], { targets: ['q_proj', 'lm_head'] }).config.embeddings,
    ).toEqual(['lm_head'])
  })
})

describe('what means nothing is refused by name', () => {
  it.each(['ties', 'slerp', 'della', 'peft-linear'])('a difference, by %s', (method) => {
    expect(() => merge([withTables(1, 0.5), withTables(2, 1)], { method, base })).toThrow(
      `Merge by ${method}: modules that were saved whole differ between the adapters (adapters[0] model.embed_tokens`,
    )
  })
  it('vocabularies of two sizes', () => {
    expect(() =>
      merge([withTables(1, 1, 90), withTables(2, 1, 85)], { weights: [0.5, 0.5] }),
    ).toThrow(
      'lm_head: adapters[0] has [90, 64], adapters[1] [85, 64]; they were made on vocabularies of different sizes',
    )
  })
  it('matrices in one and the whole module in the other', () => {
    const whole = create({ modulesToSave: ['q_proj'], targets: ['v_proj'] }, 1)
    expect(() => merge([create({}, 2), whole], { base })).toThrow(
      'self_attn.q_proj: adapters[0] changes it by low-rank matrices, adapters[1] holds it whole',
    )
  })
  it('rows of a table that the other holds whole', () => {
    const rows = create({ trainableTokens: [3] }, 1)
    expect(() => merge([rows, create({ modulesToSave: ['embed_tokens'] }, 2)], { base })).toThrow(
      'model.embed_tokens: adapters[0] trained rows of it, adapters[1] holds it whole',
    )
  })
  it('a table in place of the base’s, and one that was trained apart, where they may be one weight', () => {
    const apart = create({ modulesToSave: ['lm_head'] }, 1)
    expect(() => merge([withTables(2, 1), apart])).toThrow(
      'trained its own in addition to the base',
    )
  })
  it('a name of which the file has no tensor', () => {
    const adapter = create({}, 1)
    const named = { ...adapter, config: { ...adapter.config, modulesToSave: ['score'] } }
    expect(() => merge([adapter, named])).toThrow('adapters[1] score is named in modules_to_save')
    expect(merge([adapter, named], { base }).config.modulesToSave).toBeUndefined()
  })
})
