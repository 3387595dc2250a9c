import { beforeAll, describe, expect, it } from 'vitest'
import { MismatchError, NumericError } from '../base/errors.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { encodeAsDtype } from '../formats/encode-dtype.ts'
import { checkBaseCopies } from './base-copy.ts'
import {
  toAdapterFeeds,
  checkAdapter,
  checkFinite,
  listParameterSpecs,
  type Adapter,
} from './adapter.ts'
import { initializeAdapter } from './create-adapter.ts'
import { type Base, folderAt, parity, qwen2Base, storiesBase } from '../../test/support/adapters.ts'
import { mergeWeights } from './merge-weights.ts'
import { loadAdapter } from './files/peft.ts'

let base: Base
let embedded: Adapter
beforeAll(async () => {
  base = await storiesBase()
  embedded = await loadAdapter(folderAt(new URL('lora_extra/embed_head/', parity)))
})

const keyOf = (path: string): string => `base_model.model.${path}`
const queryA = (layer: number): string =>
  keyOf(`model.layers.${layer}.self_attn.q_proj.lora_A.weight`)

describe('initializeAdapter', () => {
  it('draws each tensor from its own key: alike modules differ, and another choice of layers changes nothing else', () => {
    const all = initializeAdapter('lora', { targets: ['q_proj'] }, base.model, { seed: 1 })
    const some = initializeAdapter('lora', { targets: ['q_proj'], layers: [3] }, base.model, {
      seed: 1,
    })
    expect(all.tensors.get(queryA(0))).not.toEqual(all.tensors.get(queryA(1)))
    expect(some.tensors.get(queryA(3))).toEqual(all.tensors.get(queryA(3)))
    expect([...some.tensors.keys()]).toEqual([queryA(3), queryA(3).replace('lora_A', 'lora_B')])
  })

  it('starts trained biases from the base, and reports when it was not given', async () => {
    const qwen2 = await qwen2Base()
    const options = { targets: ['q_proj'], bias: 'all' }
    const { tensors } = initializeAdapter('lora', options, qwen2.model, {
      seed: 1,
      weightOf: qwen2.weightOf,
    })
    const wrapped = tensors.get(keyOf('model.layers.0.self_attn.q_proj.base_layer.bias'))!
    expect(wrapped).toEqual(qwen2.weights.get('model.layers.0.self_attn.q_proj.bias'))
    expect(wrapped.data).not.toBe(qwen2.weights.get('model.layers.0.self_attn.q_proj.bias')!.data)
    expect(tensors.get(keyOf('model.layers.2.self_attn.v_proj.bias'))).toEqual(
      qwen2.weights.get('model.layers.2.self_attn.v_proj.bias'),
    )
    expect(() => initializeAdapter('lora', options, qwen2.model, { seed: 1 })).toThrow(
      'depends on the base; pass its weights as weightOf',
    )
  })

  it('refuses targets that the model does not have', () => {
    expect(() =>
      initializeAdapter('lora', { targets: ['query'] }, base.model, { seed: 1 }),
    ).toThrow('no module is called "query"')
  })

  it('agrees with the list of its parameters', () => {
    const adapter = initializeAdapter(
      'lora',
      { targets: 'mlp', rank: 3, rankPattern: { up_proj: 5 } },
      base.model,
      { seed: 1 },
    )
    const specs = listParameterSpecs(base.model, adapter)
    expect([...specs].map(([key, { shape }]) => [key, shape])).toEqual(
      [...adapter.tensors].map(([key, { shape }]) => [key, shape]),
    )
    expect(adapter.tensors.get(keyOf('model.layers.1.mlp.up_proj.lora_B.weight'))?.shape).toEqual([
      172, 5,
    ])
  })
})

describe('copies of base weights that PEFT saved along', () => {
  const copy = keyOf('model.embed_tokens.base_layer.weight')

  it('are carried, but not fed', () => {
    expect(embedded.tensors.has(copy)).toBe(true)
    expect(
      [...toAdapterFeeds(embedded).keys()].filter((name) => name.includes('base_layer')),
    ).toEqual([])
    expect(() => checkAdapter(embedded, base.model, base.weightOf)).not.toThrow()
  })

  const own = (): Float32Array => toFloat32(base.weights.get('model.embed_tokens.weight')!).slice()
  const withValues = (tensor: Tensor): Adapter => ({
    ...embedded,
    tensors: new Map([...embedded.tensors, [copy, tensor]]),
  })
  const check = (tensor: Tensor): Promise<void> =>
    checkBaseCopies(withValues(tensor), base.model, async (name) => base.weightOf(name))

  it('may be rounded to f16 or bf16', async () => {
    for (const dtype of ['f16', 'bf16'] as const) {
      const rounded = encodeAsDtype(copy, f32([512, 64], own()), dtype)
      await expect(check(rounded)).resolves.toBeUndefined()
    }
    await expect(check(f32([512, 64], own()))).resolves.toBeUndefined()
  })

  it('are refused where one row differs, or all by 5 %, because the base is used instead', async () => {
    const row = own()
    row.subarray(7 * 64, 8 * 64).fill(0.5)
    await expect(check(f32([512, 64], row))).rejects.toThrow(
      "% away from the base's (64 of 32768 numbers differ by more than rounding), expected the base's own weight",
    )
    const all = f32(
      [512, 64],
      own().map((value) => 1.05 * value),
    )
    await expect(check(all)).rejects.toThrow("got a weight 5.00 % away from the base's")
    expect(() => checkAdapter(withValues(all), base.model, base.weightOf)).toThrow(
      "got a weight 5.00 % away from the base's",
    )
  })

  it('must be the base: its shape always, its numbers where the base is at hand', () => {
    const withCopy = (tensor = f32([512, 64])): Adapter => ({
      ...embedded,
      tensors: new Map([...embedded.tensors, [copy, tensor]]),
    })
    expect(() => checkAdapter(withCopy(f32([600, 64])), base.model)).toThrow(
      'got [600, 64], expected [512, 64]',
    )
    expect(() => checkAdapter(withCopy(), base.model)).not.toThrow()
    expect(() => checkAdapter(withCopy(), base.model, base.weightOf)).toThrow(
      "got a weight 100 % away from the base's",
    )
    const stray = new Map([
      ...embedded.tensors,
      [keyOf('model.shared.base_layer.weight'), f32([1])],
    ])
    expect(() => checkAdapter({ ...embedded, tensors: stray }, base.model)).toThrow(MismatchError)
  })
})

it('checkFinite names the tensors that hold NaN or infinity', () => {
  const tensors = new Map([
    ['good', f32([2], [1, 2])],
    ['bad', f32([2], [1, NaN])],
    ['worse', f32([1], [-Infinity])],
  ])
  expect(() => checkFinite({ tensors })).toThrow(NumericError)
  expect(() => checkFinite({ tensors })).toThrow('in bad, worse (2 tensors)')
})

describe('modules that are saved whole', () => {
  const make = (modulesToSave: string[]): Adapter =>
    initializeAdapter('lora', { targets: ['q_proj'], modulesToSave }, base.model, {
      seed: 1,
      weightOf: base.weightOf,
    })

  it('start from the base, by ends of their paths as in PEFT', () => {
    const { tensors } = make(['3.mlp.up_proj', 'norm'])
    const whole = [...tensors.keys()].filter((key) => !key.includes('lora_'))
    // two norms a layer, the last one, and the linear layer
    expect(whole).toHaveLength(2 * 5 + 1 + 1)
    const key = keyOf('model.layers.3.mlp.up_proj.weight')
    const name = 'model.layers.3.mlp.up_proj.weight'
    expect(tensors.get(key)).toEqual(base.weights.get(name))
    expect(tensors.get(key)!.data).not.toBe(base.weights.get(name)!.data)
  })

  it('do not change a tied embedding if only its head is trained: both become separate weights', () => {
    const adapter = make(['lm_head'])
    expect(adapter.tensors.get(keyOf('lm_head.weight'))).toEqual(
      base.weights.get('model.embed_tokens.weight'),
    )
    expect(() => [...mergeWeights(base.model, adapter, base.weightOf)]).toThrow(
      'lm_head.weight shares its weight with model.embed_tokens.weight',
    )
    const both = make(['lm_head', 'embed_tokens'])
    expect(both.tensors.get(keyOf('lm_head.weight'))).toEqual(
      both.tensors.get(keyOf('model.embed_tokens.weight')),
    )
  })

  it('need the base to start from', () => {
    const options = { targets: ['q_proj'], modulesToSave: ['norm'] }
    expect(() => initializeAdapter('lora', options, base.model, { seed: 1 })).toThrow(
      'pass its weights as weightOf',
    )
  })
})
