import { beforeAll, describe, expect, it } from 'vitest'
import { listParameterSpecs, type Adapter } from '../adapters/adapter.ts'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { mergeWeights } from '../adapters/merge-weights.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { listAdaptableModules } from '../adapters/adapted-layers.ts'
import { asStored } from '../adapters/files/storage.ts'
import { type Base, storiesBase } from '../../test/support/adapters.ts'
import { inferModules } from '../adapters/files/modules-from-tensors.ts'
import { MismatchError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { measureAdapterChange, measureAdapterDifference } from './adapter-change.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

/** With numbers everywhere, as after training. */
function trained(kind: string, options: Readonly<Record<string, unknown>> = {}): Adapter {
  const adapter = initializeAdapter(
    kind,
    { targets: ['q_proj', 'down_proj'], ...options },
    base.model,
    { seed: 1, weightOf: base.weightOf },
  )
  const { normal } = random(2)
  const specs = listParameterSpecs(base.model, adapter)
  const tensors = [...adapter.tensors].map(([key, tensor]): [string, Tensor] => {
    const noise = specs.get(key)!.trainable ? 0.1 : 0
    return [
      key,
      f32(
        tensor.shape,
        toFloat32(tensor).map((value) => value + noise * normal()),
      ),
    ]
  })
  return { ...adapter, tensors: new Map(tensors) }
}

/** ΔW of every module by the definition: the weight with the adapter folded in, less the weight. */
function dense(adapter: Adapter): Map<string, Float32Array> {
  const merged = mergeWeights(base.model, adapter, base.weightOf)
  return new Map(
    [...merged].flatMap(([name, { data }]) =>
      name.endsWith('.weight')
        ? [
            [
              name.slice(0, -'.weight'.length),
              (data as Float32Array).map((value, i) => value - base.weightOf(name).data[i]!),
            ],
          ]
        : [],
    ),
  )
}
const norm = (values: Float32Array): number => Math.hypot(...values)
const apart = (one: Float32Array, two: Float32Array): number =>
  norm(one.map((value, i) => value - two[i]!))

const kinds: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['lora', { rank: 3, rankStabilized: true, rankPattern: { 'layers.1.self_attn.q_proj': 5 } }],
  ['lora', { rank: 3, bias: 'lora_only', loraBias: false }],
  ['dora', { rank: 3 }],
  ['ia3', { feedForward: ['down_proj'] }],
  ['lokr', { rank: 2, decomposeBoth: true }],
  ['loha', { rank: 2 }],
  ['vera', { rank: 8 }],
  ['pissa', { rank: 3 }],
]

describe.each(kinds)('a %s %j', (kind, options) => {
  it('has the norms that its ΔW has when it is formed', () => {
    const adapter = trained(kind, options)
    const expected = dense(adapter)
    const changes = measureAdapterChange(adapter, base)
    expect(changes.map(({ module }) => module.path).sort()).toEqual([...expected.keys()].sort())
    for (const { module, norm: got, whole } of changes) {
      expect([module.path, got / norm(expected.get(module.path)!), whole]).toEqual([
        module.path,
        expect.closeTo(1, 3),
        true,
      ])
    }
  })

  it('is as far from its rounded form as the two ΔW', () => {
    const before = trained(kind, options)
    const after = asStored(trained(kind, options), 'int8')
    const one = dense(before)
    const two = dense(after)
    const { overall, modules } = measureAdapterDifference(before, after, base)
    const difference = Math.hypot(
      ...[...one].map(([path, values]) => apart(values, two.get(path)!)),
    )
    const size = Math.hypot(...[...one.values()].map(norm))
    expect(overall! - difference / size).toBeCloseTo(0, 4)
    for (const { module, error } of modules)
      expect(
        error - apart(one.get(module.path)!, two.get(module.path)!) / norm(one.get(module.path)!),
      ).toBeCloseTo(0, 4)
  })

  it('tells by its tensors alone what it can, and nothing that is wrong', () => {
    const adapter = trained(kind, options)
    const known = new Map(listAdaptableModules(base.model).map((module) => [module.path, module]))
    for (const told of inferModules(adapter)) expect(known.get(told.path)).toEqual(told)
    const alone = measureAdapterChange(adapter)
    const whole = measureAdapterChange(adapter, base)
    const told = getKind(kind).sizes !== undefined
    expect(alone).toHaveLength(told ? whole.length : 0)
    for (const change of alone) {
      const same = whole.find(({ module }) => module.path === change.module.path)!
      expect(change.whole ? change.norm / same.norm : 1).toBeCloseTo(1, 6)
      expect(change.whole).toBe(kind !== 'dora')
    }
  })
})

it('counts an embedding as s·B·A too', () => {
  const adapter = trained('lora', { rank: 2, alpha: 6, targets: ['embed_tokens'] })
  const [a, b] = ['A', 'B'].map((side) =>
    adapter.tensors.get(`base_model.model.model.embed_tokens.lora_embedding_${side}`)!,
  )
  const [[, rows], [width]] = [a!.shape, b!.shape] as [number[], number[]]
  const values = toFloat32(a!)
  const others = toFloat32(b!)
  const product = Float32Array.from({ length: width! * rows! }, (_, i) => {
    const out = Math.floor(i / rows!)
    const row = i % rows!
    return 3 * (others[2 * out]! * values[row]! + others[2 * out + 1]! * values[rows! + row]!)
  })
  for (const given of [undefined, base])
    expect(measureAdapterChange(adapter, given)[0]!.norm / norm(product)).toBeCloseTo(1, 5)
})

describe('rounding', () => {
  it('costs nothing where nothing is rounded, and more with fewer bits', () => {
    const adapter = trained('lora', { rank: 8, targets: 'all-linear' })
    const errors = (['f32', 'f16', 'bf16', 'int8', 'int4'] as const).map(
      (dtype) => measureAdapterDifference(adapter, asStored(adapter, dtype)).overall!,
    )
    expect(errors[0]).toBe(0)
    expect(errors).toEqual(errors.toSorted((a, b) => a - b))
    expect(errors[3]).toBeLessThan(0.01)
    expect(errors[4]).toBeLessThan(0.15)
  })
  it('of a fresh adapter, whose ΔW is zero, is 0', () => {
    const adapter = initializeAdapter('lora', {}, base.model, { seed: 1 })
    expect(measureAdapterDifference(adapter, asStored(adapter, 'int4')).overall).toBe(0)
  })
})

it('has nothing to say of kinds without a weight, and refuses an adapter of another base', () => {
  const prompt = initializeAdapter('prompt-tuning', {}, base.model, {
    seed: 1,
    weightOf: base.weightOf,
  })
  expect(measureAdapterChange(prompt)).toEqual([])
  expect(measureAdapterDifference(prompt, prompt).overall).toBeUndefined()
  const adapter = trained('lora')
  const [[key]] = [...adapter.tensors] as [[string, Tensor]]
  expect(() =>
    measureAdapterChange(
      { ...adapter, tensors: new Map([...adapter.tensors].filter(([name]) => name !== key)) },
      base,
    ),
  ).toThrow(MismatchError)
})
