import { describe, expect, it } from 'vitest'
import { MismatchError, NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { createStandalone } from './create.ts'
import { loadAdapter, saveAdapter } from '../files/peft.ts'
import { createStandaloneForward } from './forward.ts'
import { createStandaloneModel } from './model.ts'
import { memorySink } from '../../../test/support/adapters.ts'

const width = 10
const x = Float32Array.from({ length: 3 * width }, (_, i) => Math.cos(i))
const random = { rank: 3, alpha: 6, start: 'random', targets: ['q_proj', 'down_proj'] } as const

describe('a standalone adapter', () => {
  it('computes x + Σ s·B·A·x', () => {
    const adapter = createStandalone('lora', random, { width, seed: 4 })
    const expected = Float64Array.from(x)
    for (const module of ['self_attn.q_proj', 'mlp.down_proj']) {
      const tensor = (name: string) =>
        adapter.tensors.get(`base_model.model.model.layers.0.${module}.lora_${name}.weight`)!
          .data as Float32Array
      for (let n = 0; n < 3; n++)
        for (let r = 0; r < 3; r++) {
          let low = 0
          for (let i = 0; i < width; i++) low += tensor('A')[r * width + i]! * x[n * width + i]!
          for (let i = 0; i < width; i++)
            expected[n * width + i]! += 2 * tensor('B')[i * 3 + r]! * low
        }
    }
    const y = createStandaloneForward(adapter, width)(x)
    y.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
  })
  it('gives a row the same numbers alone and in a batch, and changes no input', () => {
    const forward = createStandaloneForward(createStandalone('lora', random, { width }), width)
    const before = x.slice()
    const all = forward(x)
    const second = forward(x.slice(width, 2 * width))
    expect([...all.subarray(width, 2 * width)]).toEqual([...second])
    expect(x).toEqual(before)
  })
  it('is saved with its metadata, as PEFT saves adapters, and read again', async () => {
    const metadata = { name: 'tried', tags: 'one two', data_sha256: 'abc' }
    const adapter = createStandalone('lora', random, { width, metadata })
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    const loaded = await loadAdapter(sink)
    expect(loaded.metadata).toEqual(metadata)
    expect(loaded.baseModel).toBe(`standalone-${width}`)
    expect([...createStandaloneForward(loaded, width)(x)]).toEqual([
      ...createStandaloneForward(adapter, width)(x),
    ])
    const again = memorySink()
    await saveAdapter(loaded, again)
    expect(again.files.get('adapter_model.safetensors')).toEqual(
      sink.files.get('adapter_model.safetensors'),
    )
  })
  it('without metadata has none in its file', async () => {
    const sink = memorySink()
    await saveAdapter(createStandalone('lora', random, { width }), sink)
    expect(await loadAdapter(sink)).not.toHaveProperty('metadata')
  })
  it('refuses what does not fit', () => {
    const adapter = createStandalone('lora', random, { width })
    expect(() => createStandaloneForward(adapter, width + 1)).toThrow(MismatchError)
    const activated = createStandalone('lora', { ...random, invocationTokens: [3] }, { width })
    expect(() => createStandaloneForward(activated, width)).toThrow(
      /only after invocation tokens, which vectors do not have/,
    )
    expect(() => createStandaloneForward(adapter, width)(x.slice(1))).toThrow(ShapeError)
    expect(() => createStandaloneForward(adapter, width)(new Float32Array())).toThrow(ShapeError)
    expect(() =>
      createStandaloneForward(adapter, width)(x.map((value, i) => (i === 7 ? NaN : value))),
    ).toThrow(NumericError)
    expect(() => createStandaloneModel(0)).toThrow(OptionError)
    expect(() => createStandalone('lora', { targets: ['query'] }, { width })).toThrow(
      /no module is called "query"/,
    )
  })
})
