import { describe, expect, it } from 'vitest'
import { UnsupportedError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32 } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { type Adapter, checkAdapter } from './adapter.ts'
import { fromMicroLora, toMicroLora } from './micro-lora.ts'
import { createRole, roles } from './roles.ts'
import { createStandalone } from './vectors/create.ts'
import { createStandaloneForward } from './vectors/forward.ts'
import { createStandaloneModel } from './vectors/model.ts'

const width = 24
const draw = (length: number, seed: number): Float32Array => {
  const { normal } = random(seed)
  return Float32Array.from({ length }, () => 0.3 * normal())
}
const x = draw(width, 1)

/** As if it had been trained: no tensor is zero. */
const withNumbers = (adapter: Adapter): Adapter => {
  const tensors = new Map(
    Array.from(adapter.tensors, ([key, { shape }], i) => [
      key,
      f32(
        shape,
        draw(
          shape.reduce((product, size) => product * size),
          i + 5,
        ),
      ),
    ]),
  )
  return { ...adapter, tensors }
}

/** x + what the adapter adds: the standalone model's output is x without one. */
const forwardAdapter = (adapter: Adapter): Float32Array =>
  createStandaloneForward(adapter, width)(x)

const measureDifference = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))

function addAll(lora: ReturnType<typeof toMicroLora>): Float32Array {
  const y = x.slice()
  for (const path of Object.keys(lora.config.modules)) lora.forwardAdd(x, y, path)
  return y
}

describe('an adapter as a MicroLoRA', () => {
  it.each([...roles.keys()])('%s: the same outputs there and back', (name) => {
    const adapter = withNumbers(createRole(name, width))
    const lora = toMicroLora(adapter)
    expect(lora.config).toMatchObject({ rank: roles.get(name)!.config['rank'] })
    expect(measureDifference(addAll(lora), forwardAdapter(adapter))).toBeLessThan(2e-5)
    const back = fromMicroLora(lora, adapter)
    expect(back.metadata).toEqual(adapter.metadata)
    expect([back.baseModel, back.config.targets]).toEqual([
      adapter.baseModel,
      adapter.config.targets,
    ])
    for (const [key, tensor] of adapter.tensors)
      expect(toFloat32(back.tensors.get(key)!)).toEqual(tensor.data)
    expect(back.tensors.size).toBe(adapter.tensors.size)
  })
  it('continues learning, and what it learned is in the adapter', () => {
    const adapter = withNumbers(createRole('reviewer', width))
    const lora = toMicroLora(adapter, { optimizer: 'adam' })
    const [module] = Object.keys(lora.config.modules)
    const losses = Array.from({ length: 50 }, () => {
      const loss = lora.adapt(x, { target: x, ...(module && { sourceModule: module }) })!
      lora.applyUpdates(0.01)
      return loss
    })
    expect(losses.at(-1)).toBeLessThan(0.01 * losses[0]!)
    const learned = fromMicroLora(lora, adapter)
    checkAdapter(learned, createStandaloneModel(width).graph)
    expect(measureDifference(addAll(lora), forwardAdapter(learned))).toBeLessThan(2e-5)
    expect(measureDifference(forwardAdapter(learned), forwardAdapter(adapter))).toBeGreaterThan(
      0.01,
    )
  })
  it.each([
    { rank: 4, alpha: 3, rankStabilized: true },
    { rank: 4, rankPattern: { q_proj: 2 }, alphaPattern: { v_proj: 5 } },
    { rank: 3, loraBias: true },
  ])('%j: the same outputs', (config) => {
    const adapter = withNumbers(createStandalone('lora', config, { width }))
    const lora = toMicroLora(adapter, { seed: 9 })
    const expected = forwardAdapter(adapter)
    expect(measureDifference(addAll(lora), expected)).toBeLessThan(2e-5)
    const back = fromMicroLora(lora, adapter)
    checkAdapter(back, createStandaloneModel(width).graph)
    expect(measureDifference(forwardAdapter(back), expected)).toBeLessThan(2e-5)
  })
  it.each([
    ['dora', { rank: 4 }, 'its kind is dora'],
    ['lora', { rank: 20 }, 'its rank is 20, expected at most 16; `graft compress --rank 16`'],
    ['lora', { invocationTokens: [1] }, 'invocation tokens'],
  ] as const)('%s %j is refused', (kind, config, message) => {
    const adapter = createStandalone(kind, config, { width })
    expect(() => toMicroLora(adapter)).toThrow(UnsupportedError)
    expect(() => toMicroLora(adapter)).toThrow(message)
  })
})
