// Weights in blocks whose values are not evenly spaced are served in 8 bits; what is packed one after
// the other is read into the same memory.

import { expect, it } from 'vitest'
import { countBytes } from '../../base/dtype.ts'
import { random } from '../../base/random.ts'
import { fromBytes, type Tensor, viewBytes } from '../../base/tensor.ts'
import { PackRoom, packWeight, quantizeWeight } from '../../compute/pack.ts'
import type { TakeMemory } from '../../formats/byte-source.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openTiny } from '../../../test/support/steps.ts'
import { createBaseWeights } from './base-weights.ts'

const name = 'model.layers.0.self_attn.q_proj.weight'

it.each(['iq4_nl', 'mxfp4'] as const)(
  '%s blocks turn to 8 bits, and are read as they are',
  async (dtype) => {
    const { base } = await openTiny('qwen2')
    const { shape } = base.weights.tensors.get(name)!
    const dice = random(5)
    const count = countBytes(dtype, shape[0]! * shape[1]!)
    const bytes = Uint8Array.from({ length: count }, () => dice.integer(256))
    const blockBytes = countBytes(dtype, 32)
    // scales that are finite: f16 below 1, or 2^−8
    for (let at = 0; at < count; at += blockBytes) {
      if (dtype === 'mxfp4') bytes[at] = 120
      else bytes[at + 1] = 0x2c
    }
    const blocks = fromBytes(dtype, shape, bytes)
    const store = {
      ...base.weights,
      tensors: new Map(base.weights.tensors).set(name, { dtype, shape, sizeBytes: count }),
      read: (one: string): Promise<Tensor> =>
        one === name ? Promise.resolve(blocks) : base.weights.read(one),
    }
    const weights = createBaseWeights(base.graph, store)
    expect(weights.formOf(name)).toMatchObject({ bits: 8, block: 32 })
    expect(await weights.packed([name])).toEqual(packWeight(quantizeWeight(blocks, 'q8')!))
    const exact = createBaseWeights(base.graph, store, 'f32')
    expect((await exact.float(name)).data).toEqual(toFloat32(blocks))
    expect(() => packWeight(blocks)).toThrow(/iq4_nl|mxfp4/)
  },
)

it('reads one weight after the other into the same memory', async () => {
  const { base } = await openTiny('qwen2')
  const blocks = new Map<string, Tensor>()
  for (const part of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) {
    const own = `model.layers.0.self_attn.${part}.weight`
    blocks.set(own, quantizeWeight(await base.weights.read(own), 'q4')!)
  }
  const used = new Set<ArrayBufferLike>()
  const store = {
    ...base.weights,
    tensors: new Map(base.weights.tensors),
    async read(one: string, take: TakeMemory = (size) => new Uint8Array(size)): Promise<Tensor> {
      const { dtype, shape, ...rest } = blocks.get(one)!
      const bytes = take(viewBytes({ dtype, shape, ...rest }).length)
      bytes.set(rest.data as Uint8Array)
      used.add(bytes.buffer)
      return fromBytes(dtype, shape, bytes)
    },
  }
  for (const [one, { dtype, shape, data }] of blocks)
    store.tensors.set(one, { dtype, shape, sizeBytes: data.byteLength })
  const weights = createBaseWeights(base.graph, store)
  const [q, k, v, o] = [...blocks.keys()] as [string, string, string, string]
  const room = new PackRoom()
  for (const names of [[q, k, v], [o], [k], [q, k, v]])
    expect(await weights.packed(names, room)).toEqual(await weights.packed(names))
  used.clear()
  for (const names of [[q, k, v], [o], [k]]) await weights.packed(names, room)
  expect(used.size).toBe(3)
})
