import { beforeAll, expect, it } from 'vitest'
import { UnsupportedError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { Adapter } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { unpackInto, unpackTensor } from '../packed/fill.ts'
import { packAdapter, type PackedAdapter, unpackAdapter } from '../packed/pack-adapter.ts'
import { type Base, relativeDistance, storiesBase } from '../../../test/support/adapters.ts'
import {
  countPackedBytes,
  findOwnFactors,
  packServingWeights,
  readPackedWeights,
} from './packed-weights.ts'
import { computeServingWeights } from './serving-weights.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})
const read = async (name: string) => base.weightOf(name)

function trained(kind: string, options: Readonly<Record<string, unknown>> = {}): Adapter {
  const { model, weightOf } = base
  const adapter = initializeAdapter(kind, options, model, { seed: 1, weightOf })
  const { normal } = random(3)
  const draw = (value: number): number => value + 0.02 * normal()
  const tensors = [...adapter.tensors].map(([key, tensor]): [string, Tensor] => [
    key,
    f32(tensor.shape, toFloat32(tensor).map(draw)),
  ])
  return { ...adapter, tensors: new Map(tensors) }
}

it.each([16, 8, 4] as const)(
  'a packed LoRA of %d bits serves from its own bytes what its unpacked form serves',
  async (bits) => {
    const options = { rank: 6, alpha: 9, targets: 'all-linear', rankPattern: { q_proj: 2 } }
    const packed = packAdapter(trained('lora', options), { bits })
    const forms = await readPackedWeights(packed, base.model, read, bits)
    expect(forms).toEqual(findOwnFactors(packed, base.model))
    expect(countPackedBytes(forms)).toBe(packed.tensors.sizeBytes())
    const wanted = computeServingWeights(unpackAdapter(packed), base.model)
    expect([...forms.keys()]).toEqual([...wanted.keys()])
    for (const [path, { A, B, scaling }] of forms) {
      const { A: wantedA, B: wantedB } = wanted.get(path)!
      expect(unpackTensor(A)).toEqual(wantedA)
      const slot = new Float32Array(wantedB.data.length)
      unpackInto(slot, B, scaling)
      expect(slot).toEqual(wantedB.data)
    }
  },
)

it.each(['dora', 'ia3', 'loha', 'lokr', 'vera', 'lora'])(
  'the cold form of kind %s is close to its serving weights, vectors exact',
  async (kind) => {
    const adapter = trained(kind, kind === 'lora' ? { loraBias: true } : {})
    for (const given of [adapter, packAdapter(adapter, { bits: 16 })]) {
      const forms = await readPackedWeights(given, base.model, read, 16)
      const wanted = computeServingWeights(unpackAdapter(given), base.model, base.weightOf)
      for (const [path, { A, B, shift, u, v }] of wanted) {
        const form = forms.get(path)!
        expect([form.shift, form.u, form.v, form.scaling]).toEqual([shift, u, v, 1])
        expect([form.A.shape, form.B.shape]).toEqual([A.shape, B.shape])
        if (A.data.length === 0) continue // vectors alone
        expect(relativeDistance(unpackTensor(form.A).data, A.data)).toBeLessThan(5e-4)
        expect(relativeDistance(unpackTensor(form.B).data, B.data)).toBeLessThan(5e-4)
      }
      expect(forms.size).toBe(wanted.size)
    }
  },
)

it('keeps invocation tokens, and refuses what serving refuses', async () => {
  const activated = packAdapter(trained('lora', { invocationTokens: [7, 9] }), { bits: 8 })
  for (const { invocation } of findOwnFactors(activated, base.model)!.values())
    expect(invocation).toEqual([7, 9])
  const whole: PackedAdapter = packAdapter(trained('lora', { modulesToSave: ['lm_head'] }), {
    bits: 8,
  })
  expect(findOwnFactors(whole, base.model)).toBeUndefined()
  await expect(readPackedWeights(whole, base.model, read, 8)).rejects.toThrow(UnsupportedError)
  expect(packServingWeights(new Map(), 8).size).toBe(0)
})
