import { expect, it } from 'vitest'
import { f32, type Tensor } from '../../base/tensor.ts'
import { findBlocks } from '../../compute/lazy-packed.ts'
import { packWeight, quantizeWeight } from '../../compute/pack.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import type { BaseWeights } from './base-weights.ts'
import { loadWeightInputs, type SharedWeights } from './weight-inputs.ts'

const block = quantizeWeight(f32([2, 32], new Float32Array(64).fill(0.5)), 'q4')!
const weight = packWeight(block)

/** A graph that reads a packed weight, and weights that count how often it is packed. */
function createSource() {
  const g = new GraphBuilder()
  g.output('codes', g.input('w.codes', 'u8', weight.codes.shape, 'weight'))
  g.output('scales', g.input('w.scales', 'f32', weight.scales.shape, 'weight'))
  const packed: string[] = []
  const blocks: string[] = []
  const weights = {
    blocks: (names: readonly string[]) => {
      blocks.push(...names)
      return Promise.resolve([block])
    },
    packed: (names: readonly string[]) => {
      packed.push(...names)
      return Promise.resolve(weight)
    },
  } as unknown as BaseWeights
  return { graph: g.build(), weights, packed, blocks }
}

it('reads a weight for programs that share it, and packs it where its codes are read', async () => {
  const { graph, weights, packed, blocks } = createSource()
  const shared: SharedWeights = new Map()
  const read = async (): Promise<Tensor> =>
    (await loadWeightInputs(graph, { weights, accuracy: 'fast', shared }, [])).initializers.get(
      'w.codes',
    ) as Tensor
  const codes = await read()
  expect(await read()).toBe(codes)
  expect([packed, blocks]).toEqual([[], ['w']])
  expect(codes.data).toEqual(weight.codes.data)
  // Given back once a session has its values, and read again for the next one.
  findBlocks(codes)!.release()
  expect(await read()).toBe(codes)
  expect(blocks).toEqual(['w', 'w'])
})

it('packs a weight for each program that shares nothing', async () => {
  const { graph, weights, packed } = createSource()
  for (let i = 0; i < 2; i++) await loadWeightInputs(graph, { weights, accuracy: 'fast' }, [])
  expect(packed).toEqual(['w', 'w'])
})
