import { expect, it } from 'vitest'
import { f32, type Tensor } from '../../base/tensor.ts'
import { packWeight, quantizeWeight } from '../../compute/pack.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import type { BaseWeights } from './base-weights.ts'
import { loadWeightInputs, type SharedWeights } from './weight-inputs.ts'

const weight = packWeight(quantizeWeight(f32([2, 32], new Float32Array(64).fill(0.5)), 'q4')!)

/** A graph that reads a packed weight, and weights that count how often it is packed. */
function createSource() {
  const g = new GraphBuilder()
  g.output('codes', g.input('w.codes', 'u8', weight.codes.shape, 'weight'))
  g.output('scales', g.input('w.scales', 'f32', weight.scales.shape, 'weight'))
  const packed: string[] = []
  const weights = {
    packed: (names: readonly string[]) => {
      packed.push(...names)
      return Promise.resolve(weight)
    },
  } as unknown as BaseWeights
  return { graph: g.build(), weights, packed }
}

it('packs a weight once for all programs that share it', async () => {
  const { graph, weights, packed } = createSource()
  const shared: SharedWeights = new Map()
  const read = async (): Promise<Tensor> =>
    (await loadWeightInputs(graph, { weights, accuracy: 'fast', shared }, [])).initializers.get(
      'w.codes',
    ) as Tensor
  expect(await read()).toBe(await read())
  expect(packed).toEqual(['w'])
})

it('packs a weight for each program that shares nothing', async () => {
  const { graph, weights, packed } = createSource()
  for (let i = 0; i < 2; i++) await loadWeightInputs(graph, { weights, accuracy: 'fast' }, [])
  expect(packed).toEqual(['w', 'w'])
})
