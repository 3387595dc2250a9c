import { beforeAll, describe, expect, it } from 'vitest'
import { NumericError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { type Adapter, checkAdapter, checkFinite, toAdapterFeeds } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { adapterKinds } from '../kinds/kind-table.ts'
import {
  type Base,
  memorySink,
  relativeDistance,
  sampleOptions,
  storiesBase,
} from '../../../test/support/adapters.ts'
import {
  countAdapterBytes,
  isPackedAdapter,
  packAdapter,
  type PackedAdapter,
  unpackAdapter,
} from './pack-adapter.ts'
import { isPackedTensor } from './packed-tensor.ts'
import { isTensorMap, PackedTensorMap } from './tensor-map.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

/** With numbers everywhere, as after training. */
function trained(kind: string, options = sampleOptions[kind] ?? {}): Adapter {
  const { model, weightOf } = base
  const adapter = initializeAdapter(kind, options, model, { seed: 1, weightOf })
  const { normal } = random(3)
  const tensors = [...adapter.tensors].map(([key, tensor]): [string, Tensor] => [
    key,
    f32(
      tensor.shape,
      toFloat32(tensor).map((value) => value + 0.02 * normal()),
    ),
  ])
  return { ...adapter, tensors: new Map(tensors), metadata: { name: 'cats' } }
}

const all = [16, 8, 4] as const

describe.each(all)('an adapter in %d bits', (bits) => {
  const limit = { 16: 5e-4, 8: 0.012, 4: 0.16 }[bits]

  it.each([...adapterKinds.keys()])(
    'of kind %s is an adapter of the same tensors, close to what they were',
    (kind) => {
      const adapter = trained(kind)
      const packed = packAdapter(adapter, { bits })
      expect(packed).toMatchObject({ kind, config: adapter.config, metadata: { name: 'cats' } })
      expect([...packed.tensors.keys()]).toEqual([...adapter.tensors.keys()])
      expect(packed.tensors.size).toBe(adapter.tensors.size)
      checkAdapter(packed, base.model)
      checkFinite(packed)
      for (const [key, tensor] of adapter.tensors) {
        const got = packed.tensors.get(key)!
        expect([key, got.shape]).toEqual([key, tensor.shape])
        expect(relativeDistance(toFloat32(got), toFloat32(tensor))).toBeLessThanOrEqual(limit)
      }
      const unpacked = unpackAdapter(packed)
      expect(unpacked.tensors).toBeInstanceOf(Map)
      expect(unpacked).toEqual({ ...packed, tensors: new Map(packed.tensors) })
      expect(toAdapterFeeds(packed)).toEqual(toAdapterFeeds(unpacked))
    },
  )

  it('is packed once: again the same object, from other bits anew', () => {
    const packed = packAdapter(trained('lora'), { bits })
    expect(packAdapter(packed, { bits })).toBe(packed)
    const other = packAdapter(packed, { bits: bits === 8 ? 4 : 8 })
    expect(other.tensors.bits).not.toBe(bits)
    expect(isPackedAdapter(other)).toBe(true)
  })
})

it('counts the bytes it holds: 16 bits take half of f32, 8 a quarter, 4 an eighth, and scales', () => {
  const adapter = trained('lora', { rank: 16 })
  const whole = countAdapterBytes(adapter)
  const shares = all.map((bits) => {
    const { tensors } = packAdapter(adapter, { bits })
    expect(countAdapterBytes({ ...adapter, tensors })).toBe(tensors.sizeBytes())
    expect(tensors.unpackedBytes()).toBe(whole)
    return tensors.sizeBytes() / whole
  })
  expect(shares[0]).toBe(0.5)
  expect(shares[1]).toBeCloseTo(0.2578, 4)
  expect(shares[2]).toBeCloseTo(0.1328, 4)
})

it('keeps vectors, factors near one and modules saved whole as they are', () => {
  const adapter = trained('dora', { modulesToSave: ['lm_head'] })
  const { tensors } = packAdapter(adapter, { bits: 4 })
  const exact = [...adapter.tensors].filter(([key]) => !/lora_[AB]\.weight$/.test(key))
  expect(exact.length).toBeGreaterThan(5)
  for (const [key, tensor] of exact) expect(tensors.getHeld(key)).toBe(tensor)
})

it('in 16 bits keeps tensors that have 16 already', async () => {
  const { saveAdapter, loadAdapter } = await import('../files/peft.ts')
  for (const dtype of ['f16', 'bf16'] as const) {
    const sink = memorySink()
    await saveAdapter(trained('lora'), sink, { dtype })
    const adapter = await loadAdapter(sink)
    const { tensors } = packAdapter(adapter, { bits: 16 })
    for (const [key, tensor] of adapter.tensors) expect(tensors.getHeld(key)).toBe(tensor)
  }
})

describe('the map of packed tensors', () => {
  it('reads like any map of tensors, and unpacks only what is asked for', () => {
    const packed = packAdapter(trained('lora'), { bits: 8 })
    const { tensors } = packed
    const [key] = tensors.keys() as unknown as [string]
    expect(isTensorMap(tensors) && isTensorMap(new Map()) && !isTensorMap({})).toBe(true)
    expect([tensors.has(key), tensors.has('x'), tensors.get('x')]).toEqual([true, false, undefined])
    expect(tensors.get(key)).not.toBe(tensors.get(key))
    expect([...tensors.values()]).toEqual([...tensors].map(([, tensor]) => tensor))
    const seen: string[] = []
    tensors.forEach((tensor, name, map) => {
      expect([tensor.dtype, map]).toEqual(['f32', tensors])
      seen.push(name)
    })
    expect(seen).toEqual([...tensors.keys()])
    const view = tensors.get(key)!
    expect(view.data).toBe(view.data)
  })
  it('is not changed by a change of what it gave', () => {
    const { tensors } = packAdapter(trained('lora'), { bits: 8 })
    const [key] = tensors.keys() as unknown as [string]
    const before = toFloat32(tensors.get(key)!).slice()
    toFloat32(tensors.get(key)!).fill(9)
    expect(tensors.get(key)!.data).toEqual(before)
  })
  it('passes for no adapter where it was cloned without its tensors', () => {
    const packed: PackedAdapter = packAdapter(trained('lora'), { bits: 8 })
    expect(isTensorMap(structuredClone(packed).tensors)).toBe(false)
  })
})

describe('bad input', () => {
  it('is refused by name', () => {
    const adapter = trained('lora')
    expect(() => packAdapter(adapter, { bits: 5 as 4 })).toThrow('bits: got 5, expected 16, 8, 4')
    expect(() => packAdapter(adapter, {} as never)).toThrow(OptionError)
    expect(() => packAdapter(adapter, { bit: 8 } as never)).toThrow('Did you mean "bits"?')
    const [key, tensor] = [...adapter.tensors][0]!
    const torn = f32(tensor.shape, toFloat32(tensor).slice().fill(NaN, 3, 4))
    const bad = { ...adapter, tensors: new Map([...adapter.tensors, [key, torn]]) }
    expect(() => packAdapter(bad, { bits: 8 })).toThrow(NumericError)
    expect(() => packAdapter(bad, { bits: 8 })).toThrow(key)
  })
  it('finds an infinity that scales of a file make', () => {
    const packed = packAdapter(trained('lora'), { bits: 8 })
    const held = new Map(packed.tensors.held())
    const [key, tensor] = [...held].find(([, one]) => isPackedTensor(one))!
    held.set(key, { ...tensor, scales: new Uint16Array(4096).fill(0x7f00) } as typeof tensor)
    const { tensors: _, ...rest } = packed
    expect(() => checkFinite({ ...rest, tensors: new PackedTensorMap(held, 8) })).toThrow(key)
  })
})
