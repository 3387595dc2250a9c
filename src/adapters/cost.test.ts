import { beforeAll, describe, expect, it } from 'vitest'
import { sizeOf } from '../base/tensor.ts'
import { listParameterSpecs } from './adapter.ts'
import { initializeAdapter } from './create-adapter.ts'
import { computeAdapterCost } from './cost.ts'
import { type Base, sampleOptions, storiesBase } from '../../test/support/adapters.ts'
import { adapterKinds } from './kinds/kind-table.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

const width = 64
const inner = 172
const kvWidth = 32
const layers = 5 // of the base

describe('cost', () => {
  it('counts a LoRA by its formulas', () => {
    const rank = 3
    const { parameters, bytes, flopsPerToken } = computeAdapterCost(
      'lora',
      { rank, targets: ['q_proj', 'up_proj'] },
      base.model,
    )
    const numbers = layers * rank * (width + width + width + inner)
    expect(parameters).toBe(numbers)
    expect(bytes).toBe(4 * numbers)
    expect(flopsPerToken).toBe(2 * numbers + layers * (width + inner)) // two products, and their sum with the base's output
  })

  it('counts IA3 as one product by element', () => {
    expect(computeAdapterCost('ia3', {}, base.model, 'f16')).toEqual({
      parameters: layers * (kvWidth + kvWidth + inner),
      bytes: 2 * layers * (kvWidth + kvWidth + inner),
      flopsPerToken: layers * (kvWidth + kvWidth + inner),
    })
  })

  it('counts what is stored but not trained in bytes only', () => {
    const { parameters, bytes } = computeAdapterCost(
      'vera',
      { rank: 4, targets: ['q_proj', 'up_proj'] },
      base.model,
    )
    expect(parameters).toBe(layers * (width + 4 + inner + 4))
    expect(bytes).toBe(4 * (parameters + 4 * width + inner * 4))
  })

  it('counts the attention to virtual tokens', () => {
    const { parameters, flopsPerToken } = computeAdapterCost(
      'prefix-tuning',
      { virtualTokens: 6 },
      base.model,
    )
    expect(parameters).toBe(6 * layers * 2 * kvWidth)
    expect(flopsPerToken).toBe(4 * 6 * width * layers)
  })

  it.each([...adapterKinds.keys()])(
    'equals the size of the adapter that is created: %s',
    (kind) => {
      const options = sampleOptions[kind] ?? {}
      const { model, weightOf } = base
      const adapter = initializeAdapter(kind, options, model, { seed: 1, weightOf })
      const sizes = [...listParameterSpecs(model, adapter).values()].map(({ shape, trainable }) =>
        trainable ? sizeOf(shape) : 0,
      )
      const said = computeAdapterCost(kind, options, model)
      expect(said.parameters).toBe(sizes.reduce((sum, size) => sum + size, 0))
      expect(said.bytes).toBe(
        [...adapter.tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0),
      )
      expect(said.flopsPerToken).toBeGreaterThan(0)
    },
  )

  it('reports what is wrong with the options before anything is counted', () => {
    expect(() => computeAdapterCost('lora', { targets: ['query'] }, base.model)).toThrow(
      'no module is called "query"',
    )
  })
})
