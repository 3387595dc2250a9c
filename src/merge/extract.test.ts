// Extraction: an adapter that was merged into a base is extracted from it, and weights that cannot
// be are named.
import { describe, expect, it } from 'vitest'
import { MismatchError, NumericError, OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { mergeWeights } from '../adapters/merge-weights.ts'
import { backend, furthest } from '../../test/support/adapters.ts'
import { openBaseModel, type BaseModel } from '../graph/base-model.ts'
import { createModel } from '../runtime/model.ts'
import { extract, type ExtractOptions } from './extract.ts'
import { computeDeltas, computeDistance } from './fixture.contract.ts'
import { asFolder, asGguf, createSmallModel, type SmallModel } from './testing.ts'

const small = createSmallModel()
const open = (model: SmallModel): Promise<BaseModel> => openBaseModel(asFolder(model))
const ids = [[1, 17, 3, 44, 5, 60, 9]]

const logitsOf = async (base: BaseModel, adapter?: Adapter): Promise<Float32Array> =>
  (await createModel({ base, backend }).logits(ids, adapter ? { adapter } : {})).data

/**
 * A LoRA whose ΔW is about as large as the weight, so that the rounding of the weight does not hide
 * it.
 */
async function taught(targets: readonly string[], options: object = {}): Promise<Adapter> {
  const base = await open(small)
  const made = initializeAdapter(
    'lora',
    { rank: 4, targets, start: 'random', ...options },
    base.graph,
    { seed: 5 },
  )
  const values = ([key, { shape, data }]: [string, F32Tensor]): [string, F32Tensor] => [
    key,
    f32(
      shape,
      data.map((x) => 3 * x),
    ),
  ]
  return {
    ...made,
    tensors: new Map([...made.tensors].map((entry) => values(entry as [string, F32Tensor]))),
  }
}

/** The small model with an adapter in its weights, and further weights replaced. */
async function tunedWith(
  adapter: Adapter | undefined,
  changes: ReadonlyMap<string, F32Tensor> = new Map(),
): Promise<SmallModel> {
  const { graph } = await open(small)
  const merged = adapter ? mergeWeights(graph, adapter, (name) => small.weights.get(name)!) : []
  return { ...small, weights: new Map([...small.weights, ...merged, ...changes]) }
}

const extracted = async (tuned: SmallModel, options: ExtractOptions) =>
  extract(await open(small), await open(tuned), options)
const all = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

describe('extract', () => {
  it('gives back a rank-4 LoRA that was merged in: the same ΔW and the same logits', async () => {
    const adapter = await taught(all)
    const tuned = await tunedWith(adapter)
    const told: string[] = []
    const {
      adapter: back,
      modules,
      others,
    } = await extracted(tuned, { rank: 4, onModule: ({ module }) => told.push(module) })
    const got = computeDeltas(back)
    const expected = computeDeltas(adapter)
    expect([...got.keys()]).toEqual([...expected.keys()])
    for (const [path, delta] of expected)
      expect(computeDistance(got.get(path)!, delta)).toBeLessThan(1e-5)
    expect(modules.map(({ module, rank }) => [module, rank])).toEqual(
      [...expected.keys()].map((path) => [path, 4]),
    )
    expect(Math.max(...modules.map(({ residual }) => residual))).toBeLessThan(1e-5)
    expect(told).toEqual([...expected.keys()])
    expect(others).toEqual([])
    const base = await open(small)
    const withBack = await logitsOf(base, back)
    expect(furthest(withBack, await logitsOf(await open(tuned)))).toBeLessThan(1e-4)
    expect(furthest(withBack, await logitsOf(base))).toBeGreaterThan(0.1)
  })

  it('by energy takes the rank that exists, in every module alone, and leaves out what is equal', async () => {
    const tuned = await tunedWith(
      await taught(['q_proj', '1.mlp.up_proj'], {
        rankPattern: { up_proj: 2 },
        alphaPattern: { up_proj: 4 },
      }),
    )
    const { adapter, modules } = await extracted(tuned, { energy: 0.999999 })
    expect(modules.map(({ module, rank }) => [module, rank])).toEqual([
      ['model.layers.0.self_attn.q_proj', 4],
      ['model.layers.1.self_attn.q_proj', 4],
      ['model.layers.1.mlp.up_proj', 2],
    ])
    const base = await open(small)
    expect(furthest(await logitsOf(base, adapter), await logitsOf(await open(tuned)))).toBeLessThan(
      1e-2,
    )
  })

  it('reports what a smaller rank has lost', async () => {
    const adapter = await taught(['v_proj'])
    const { adapter: back, modules } = await extracted(await tunedWith(adapter), { rank: 2 })
    const got = computeDeltas(back)
    const expected = computeDeltas(adapter)
    for (const { module, residual } of modules) {
      expect(residual).toBeGreaterThan(0.1)
      expect(
        Math.abs(computeDistance(got.get(module)!, expected.get(module)!) - residual),
      ).toBeLessThan(1e-3)
    }
  })

  it('uses the given targets, and names every other weight that differs', async () => {
    const norm = 'model.norm.weight'
    const table = 'model.embed_tokens.weight'
    const moved = (name: string): [string, F32Tensor] => {
      const { shape, data } = small.weights.get(name)!
      return [
        name,
        f32(
          shape,
          data.map((value) => 1.5 * value),
        ),
      ]
    }
    const tuned = await tunedWith(
      await taught(['q_proj', 'down_proj']),
      new Map([moved(norm), moved(table)]),
    )
    const { modules, others } = await extracted(tuned, { rank: 4, targets: 'attention' })
    expect(modules.map(({ module }) => module)).toEqual(
      [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj`),
    )
    expect(others.toSorted()).toEqual([
      table,
      'model.layers.0.mlp.down_proj.weight',
      'model.layers.1.mlp.down_proj.weight',
      norm,
    ])
  })

  it('uses the dequantised values of a quantised base', async () => {
    const base = await openBaseModel(asGguf(small, () => 'q8_0'))
    const tuned = await tunedWith(await taught(['q_proj']))
    const { modules } = await extract(base, await open(tuned), { rank: 4 })
    expect(modules).toHaveLength(14) // rounding is a difference too, of full rank
    const residuals = modules.map(({ module, residual }) => [
      module.endsWith('q_proj'),
      residual < 0.05,
    ])
    for (const [isTarget, isSmall] of residuals) expect(isSmall).toBe(isTarget)
  })
})

describe('refuses', () => {
  it('models of two forms, with everything in which they differ in one error', async () => {
    const other = createSmallModel({ config: { intermediate_size: 64, rms_norm_eps: 1e-6 } })
    const error = await extracted(other, { rank: 4 }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MismatchError)
    const names = (error as MismatchError).mismatches.map(({ name }) => name)
    expect(names).toEqual(
      expect.arrayContaining([
        'config feedForward',
        'config normEpsilon',
        'model.layers.1.mlp.down_proj.weight',
      ]),
    )
    expect(names).toHaveLength(2 + 6)
  })
  it('equal models, and options that make no sense', async () => {
    await expect(extracted(small, { rank: 4 })).rejects.toThrow('there is no adapter between them')
    await expect(extracted(small, {})).rejects.toThrow('give the rank or the energy')
    await expect(extracted(small, { rank: 0, energy: 2 })).rejects.toThrow(
      /rank: got 0.*energy: got 2/,
    )
    await expect(extracted(small, { rank: 4, targets: ['c_attn'] })).rejects.toThrow(OptionError)
    await expect(extracted(small, { rank: 4, targets: ['embed_tokens'] })).rejects.toThrow(
      UnsupportedError,
    )
    const tied = await open(createSmallModel({ tied: true }))
    await expect(extract(tied, tied, { rank: 4, targets: ['lm_head'] })).rejects.toThrow(
      'shares its weight',
    )
  })
  it('NaN, with the model and the tensor', async () => {
    const name = 'model.layers.1.self_attn.v_proj.weight'
    const tuned = await tunedWith(
      undefined,
      new Map([[name, f32([32, 64], new Float32Array(2048).fill(NaN))]]),
    )
    const error = await extracted(tuned, { rank: 4 }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(NumericError)
    expect(String(error)).toContain(name)
  })
})
