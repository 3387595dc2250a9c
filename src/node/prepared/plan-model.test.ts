// What a model needs is known before it is opened, and one that is too large is refused with both
// numbers.
import { describe, expect, it } from 'vitest'
import { openTiny } from '../../../test/support/steps.ts'
import { UnsupportedError } from '../../base/errors.ts'
import { countWeightBytes, freeze } from '../../graph/quantized-base/quantize-weight.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { viewBytes } from '../../base/tensor.ts'
import { computeModelMemory, computeTrainedBytes } from '../../runtime/programs/model-memory.ts'
import { buildDecodeGraph } from '../../runtime/programs/step/step-graph.ts'
import { loadWeightInputs } from '../../runtime/programs/weight-inputs.ts'
import { loadModel } from '../model.ts'
import { checkMemory, readMachineMemory } from '../models/machine-memory.ts'
import { planModel } from './plan-model.ts'

describe('the memory of a model', () => {
  it.each(['llama', 'qwen2', 'gemma3_text'])('is known exactly on disk: %s', async (name) => {
    const { base, weights } = await openTiny(name, 'q4')
    const { graph, weights: store } = base
    const memory = computeModelMemory({ graph, store, weights, files: { isShared: true } })
    const needs = { accuracy: 'fast' } as const
    const { graph: decode, stacks } = buildDecodeGraph(graph, weights, needs)
    const { initializers } = await loadWeightInputs(decode, { weights, ...needs }, stacks)
    const packed = [...initializers].filter(([input]) => /\.(codes|scales|offsets)$/.test(input))
    const bytes = packed.reduce(
      (sum, [, tensor]) => sum + ('data' in tensor ? viewBytes(tensor).length : 0),
      0,
    )
    expect(memory.preparedBytes).toBe(bytes)
    expect(memory.packedBytes).toBeGreaterThan(bytes)
    expect(memory.copies).toBe(1)
    await base.weights.close()
  })
  it('counts a copy for each program where they share none', async () => {
    const { base, weights } = await openTiny('llama', 'q4')
    const parts = { graph: base.graph, store: base.weights, weights }
    const [shared, apart] = [true, false].map((isShared) =>
      computeModelMemory({ ...parts, files: { isShared } }),
    )
    expect(apart!.peakBytes - shared!.peakBytes).toBe(3 * shared!.packedBytes)
    await base.weights.close()
  })
  it.each([undefined, 'nf4', 'int8'] as const)('of training is what is read: %s', async (form) => {
    const { base } = await openTiny('llama')
    const read = await readWeights(base)
    const frozen = [...read].map(([name, tensor]) =>
      form ? freeze(tensor, form, name.includes('.layers.')) : tensor,
    )
    const largest = form ? Math.max(...[...read.values()].map(({ data }) => data.byteLength)) : 0
    const none = computeTrainedBytes({ config: base.config, blocks: [] })
    expect(computeTrainedBytes(base.graph, form) - none - largest).toBe(countWeightBytes(frozen))
    await base.weights.close()
  })
})

describe('a model that is too large', () => {
  const environment = { GRAFT_MEMORY_GB: '0.1' }
  it('is refused with both numbers before anything is compiled', async () => {
    const model = await loadModel('stories260k', { environment })
    const refused = model.complete('Once', { maxTokens: 1 })
    await expect(refused).rejects.toThrow(UnsupportedError)
    await expect(refused).rejects.toThrow(
      /"stories260k": needs 0\.3 GB of memory, 0\.1 GB of 0\.1 GB are free\. Take a smaller/,
    )
    await expect(model.weights()).rejects.toThrow(/^Training on "stories260k": needs 0\.3 GB/)
    await model.dispose()
  })
  it('is named by its plan', async () => {
    const plan = await planModel('stories260k', { environment })
    expect(plan).toMatchObject({ fits: false, machine: { totalBytes: 1e8 }, architecture: 'llama' })
    expect((await planModel('stories260k')).fits).toBe(true)
  })
})

describe('the memory of the machine', () => {
  it('can be limited, and a wrong limit is refused', () => {
    const { totalBytes, freeBytes } = readMachineMemory({})
    expect(freeBytes).toBeLessThanOrEqual(totalBytes)
    expect(readMachineMemory({ GRAFT_MEMORY_GB: '0.5' }).totalBytes).toBe(5e8)
    expect(() => readMachineMemory({ GRAFT_MEMORY_GB: 'half' })).toThrow(/GRAFT_MEMORY_GB/)
    expect(() => checkMemory('It', totalBytes * 2, 'Rest.', {})).toThrow(/^It: needs .* Rest\.$/)
    checkMemory('It', 1, 'Rest.', {})
  })
})
