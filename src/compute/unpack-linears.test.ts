import { describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { createLazyPacked, FileBlocks } from './lazy-packed.ts'
import { packWeight, packWeights, quantizeWeight } from './pack.ts'
import { referenceBackend } from './reference.ts'
import { unpackLinears } from './unpack-linears.ts'

const inFeatures = 64
const outFeatures = 5

/** y = x·W₀ᵀ, z = y'·W₁ᵀ … each over a packed weight, `shared` layers over the first. */
function buildPacked(names: readonly string[], bits: 'q4' | 'q8' = 'q4') {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['M', inFeatures])
  const initializers = new Map<string, Tensor>()
  names.forEach((name, i) => {
    const numbers = random(name.length)
    const values = Float32Array.from({ length: outFeatures * inFeatures }, () => numbers.normal())
    const packed = packWeight(quantizeWeight(f32([outFeatures, inFeatures], values), bits)!)
    const parts = [
      g.input(`${name}.codes`, 'u8', packed.codes.shape, 'weight'),
      g.input(`${name}.scales`, 'f32', packed.scales.shape, 'weight'),
    ]
    initializers.set(`${name}.codes`, packed.codes)
    initializers.set(`${name}.scales`, packed.scales)
    const form = { bits: packed.bits, block: packed.block, accuracy: 4, module: name }
    g.output(`y${i}`, g.op('quantizedLinear', [x, ...parts], { ...form, inFeatures, outFeatures }))
  })
  return { graph: g.build(), initializers }
}

const x = f32(
  [2, inFeatures],
  Float32Array.from({ length: 2 * inFeatures }, (_, i) => Math.sin(i)),
)
const sizeBytes = 4 * outFeatures * inFeatures

describe('unpackLinears', () => {
  it.each(['q4', 'q8'] as const)('gives the same product of %s', async (bits) => {
    const { graph, initializers } = buildPacked(['w'], bits)
    const unpacked = unpackLinears(graph, initializers, sizeBytes)
    expect(unpacked.graph.nodes.map(({ operation }) => operation)).toEqual(['linear'])
    expect([...unpacked.initializers.keys()]).toEqual(['w.codes.f32'])
    const feeds = new Map([['x', x]])
    const run = async (of: typeof unpacked) =>
      (await referenceBackend.compile(of.graph, { initializers: of.initializers })).run(feeds)
    const [before, after] = [await run({ graph, initializers }), await run(unpacked)]
    before.get('y0')!.data.forEach((value, i) => {
      expect(Number(after.get('y0')!.data[i])).toBeCloseTo(Number(value), 4)
    })
  })
  it('unpacks a weight that two layers share once', () => {
    const { graph, initializers } = buildPacked(['w', 'w'])
    const unpacked = unpackLinears(graph, initializers, sizeBytes)
    expect(unpacked.graph.nodes.map(({ operation }) => operation)).toEqual(['linear', 'linear'])
    expect(unpacked.initializers.size).toBe(1)
  })
  it('multiplies a large weight in parts, from codes or from the blocks of the file', async () => {
    const rows = 200
    const numbers = random(7)
    const draw = (count: number) => {
      const values = Float32Array.from({ length: count * inFeatures }, () => numbers.normal())
      return quantizeWeight(f32([count, inFeatures], values), 'q4')!
    }
    const blocks = [draw(70), draw(130)]
    const packed = packWeights(blocks)
    const g = new GraphBuilder()
    const parts = [
      g.input('w.codes', 'u8', packed.codes.shape, 'weight'),
      g.input('w.scales', 'f32', packed.scales.shape, 'weight'),
    ]
    const attributes = { bits: 4, block: 32, accuracy: 4, module: 'w', inFeatures }
    g.output(
      'y',
      g.op('quantizedLinear', [g.input('x', 'f32', ['M', inFeatures]), ...parts], {
        ...attributes,
        outFeatures: rows,
      }),
    )
    const graph = g.build()
    const held = new Map<string, Tensor>([
      ['w.codes', packed.codes],
      ['w.scales', packed.scales],
    ])
    const file = new FileBlocks(async () => blocks)
    const lazy = createLazyPacked(held, 'w.codes', file, () => expect.fail('it is packed'))
    await file.load()
    const feeds = new Map([['x', x]])
    const run = async (of: ReturnType<typeof unpackLinears>) =>
      (await referenceBackend.compile(of.graph, { initializers: of.initializers })).run(feeds)
    const whole = (await run(unpackLinears(graph, held, 1e9))).get('y')!
    for (const initializers of [held, lazy]) {
      const cut = unpackLinears(graph, initializers, 1e9, new Map(), 4 * 64 * inFeatures)
      expect([...cut.initializers.values()].map(({ shape }) => shape[0])).toEqual([64, 64, 64, 8])
      expect((await run(cut)).get('y')).toEqual(whole)
    }
  })
  it('leaves packed what exceeds the budget, and what is fed', () => {
    const { graph, initializers } = buildPacked(['w', 'other'])
    const some = unpackLinears(graph, initializers, sizeBytes)
    expect(some.graph.nodes.map(({ operation }) => operation)).toEqual([
      'linear',
      'quantizedLinear',
    ])
    expect([...some.initializers.keys()]).toEqual(['other.codes', 'other.scales', 'w.codes.f32'])
    expect(unpackLinears(graph, initializers, sizeBytes - 1).graph).toBe(graph)
    expect(unpackLinears(graph, new Map(), 1e9).graph).toBe(graph)
  })
})
