import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GraphBuilder } from '../../graph/builder.ts'
import { type LoadedModel, loadModel } from '../../node/model.ts'
import type { TrainOptions } from '../options/options.ts'
import { computeMemoryPeak, countProductOperations } from './graph-cost.ts'
import { planTraining, type TrainPlan } from './estimate.ts'

describe('fullestMoment and productOperations', () => {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['N', 4])
  const y = g.matmul(x, g.weight('w', [4, 8])) // [N, 8]
  const flat = g.reshape(y, [multiplied('N', 8)])
  g.output('z', g.multiply(flat, flat))
  const graph = g.build()
  const dims = new Map([['N', 3]])

  it('count what is alive at once; a reshaped value is the same memory, inputs lie outside', () => {
    expect(computeMemoryPeak(graph, dims)).toEqual({ bytes: 2 * 3 * 8 * 4, wideBytes: 0 })
    expect(computeMemoryPeak(graph, dims, 8).wideBytes).toBe(3 * 8 * 4)
  })
  it('count 2·m·k·n for a product', () => {
    expect(countProductOperations(graph, dims)).toBe(2 * 3 * 4 * 8)
  })
})

function multiplied(name: string, factor: number): string {
  return `${factor}*${name}`
}

describe('planTraining', () => {
  let model: LoadedModel
  beforeAll(async () => {
    model = await loadModel('stories260k', { threads: 1 })
  })
  afterAll(() => model.dispose())

  const rowOf = (tokens: number) => ({
    ids: Int32Array.from({ length: tokens }, (_, t) => 10 + t),
    weights: Float32Array.from({ length: tokens }, (_, t) => (t > 0 ? 1 : 0)),
  })
  const plan = (given: Partial<TrainOptions> = {}, rows = 8): Promise<TrainPlan> =>
    planTraining(
      {
        model,
        steps: 6,
        batch: { rows: 4, tokens: 64 },
        adapter: { kind: 'lora', config: { rank: 4, targets: 'all-linear' } },
        data: {
          name: 'rows',
          format: 'text',
          examples: rows,
          cut: 0,
          dropped: 0,
          rows: Array.from({ length: rows }, () => rowOf(64)),
        },
        ...given,
      },
      { calibrationSeconds: 0.02 },
    )

  it('counts weights, adapter, gradients and optimiser exactly', async () => {
    const { memory, trainableParameters, tokens, steps, batch } = await plan()
    const weights = [...(await model.weights()).values()].reduce(
      (sum, { data }) => sum + data.byteLength,
      0,
    )
    expect(memory.baseBytes).toBe(weights)
    expect(memory.adapterBytes).toBe(2 * 4 * trainableParameters)
    expect(memory.gradientBytes).toBe(2 * 4 * trainableParameters)
    expect(memory.optimizerBytes).toBe(2 * 4 * trainableParameters)
    expect((await plan({ optimizer: 'lion' })).memory.optimizerBytes).toBe(4 * trainableParameters)
    expect({ tokens, steps, batch }).toEqual({
      tokens: 6 * 4 * 64,
      steps: 6,
      batch: { rows: 4, tokens: 64, scored: 4 * 63 },
    })
    const { totalBytes, ...parts } = memory
    expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBe(totalBytes)
  })
  it('reports what the data holds', async () => {
    const { data, validation } = await plan()
    expect(data.format).toBeTypeOf('string')
    expect(data).toMatchObject({ cut: 0, dropped: 0 })
    expect(data.scored).toBeLessThanOrEqual(data.tokens)
    expect(validation).toBe(undefined)
  })
  it('follows the lines of a batch: activations and operations double with them', async () => {
    const two = await plan({ batch: { rows: 2, tokens: 64 } })
    const four = await plan()
    expect(four.memory.activationBytes / two.memory.activationBytes).toBeCloseTo(2, 1)
    expect(four.memory.headBytes / two.memory.headBytes).toBeCloseTo(2, 1)
    expect(four.time.stepGigaOperations / two.time.stepGigaOperations).toBeCloseTo(2, 1)
    expect(four.memory.baseBytes).toBe(two.memory.baseBytes)
  })
  it('knows what checkpointing saves and costs', async () => {
    const kept = await plan()
    const again = await plan({ checkpointing: true })
    expect(again.memory.activationBytes).toBeLessThan(0.7 * kept.memory.activationBytes)
    const more = again.time.stepGigaOperations / kept.time.stepGigaOperations
    expect(more).toBeGreaterThan(1.1)
    expect(more).toBeLessThan(1.4)
  })
  it('knows the size of a quantised base', async () => {
    const plain = await plan()
    const nf4 = await plan({ quantization: 'nf4' })
    expect(nf4.memory.baseBytes / plain.memory.baseBytes).toBeLessThan(0.3)
  })
  it('multiplies by steps, and adds validations', async () => {
    const few = await plan({ steps: 2 })
    const held = await plan({
      validation: {
        data: { name: 'held', format: 'text', examples: 1, cut: 0, dropped: 0, rows: [rowOf(64)] },
        everySteps: 1,
      },
    })
    expect(few.tokens).toBe(2 * 4 * 64)
    expect(held.time.seconds).toBeGreaterThan(held.time.stepSeconds * held.steps)
    expect(held.memory.adapterBytes).toBe(1.5 * few.memory.adapterBytes)
  })
  it('refuses what training refuses, before anything is measured', async () => {
    await expect(plan({ epochs: 0 })).rejects.toThrow(/epochs/)
  })
})
