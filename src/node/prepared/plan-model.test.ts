// What a model needs is known before it is opened, and one that is too large is refused with both
// numbers.
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openTiny } from '../../../test/support/steps.ts'
import { tokenizerEntries } from '../../../test/support/stories-gguf.ts'
import { countBytes } from '../../base/dtype.ts'
import { UnsupportedError } from '../../base/errors.ts'
import { countWeightBytes, freeze } from '../../graph/quantized-base/quantize-weight.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { sizeOf, viewBytes } from '../../base/tensor.ts'
import type { GgufEntry } from '../../formats/gguf/types.ts'
import { encodeGgufStream, type GgufTensorHead } from '../../formats/gguf/writer.ts'
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
  it('is refused by its head: 39 GB, of which nothing else is written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'graft-large-'))
    try {
      const path = await writeHead(join(folder, 'large.gguf'))
      const file = await stat(path)
      expect([file.size > 38e9, file.blocks * 512 < 1e6]).toEqual([true, true])
      const small = { GRAFT_MEMORY_GB: '20' }
      const plan = await planModel(path, { environment: small })
      expect([plan.fits, Math.round(plan.memory.peakBytes / 1e9)]).toEqual([false, 52])
      const model = await loadModel(path, { environment: small })
      await expect(model.complete('Once', { maxTokens: 1 })).rejects.toThrow(
        /"large": needs 52\.\d GB of memory, \d+\.\d GB of 20\.0 GB are free\./,
      )
      await model.dispose()
    } finally {
      await rm(folder, { recursive: true })
    }
  })
  it('is named by its plan', async () => {
    const plan = await planModel('stories260k', { environment })
    expect(plan).toMatchObject({ fits: false, machine: { totalBytes: 1e8 }, architecture: 'llama' })
    expect((await planModel('stories260k')).fits).toBe(true)
  })
})

/** The head of a Llama of 69 billion parameters in Q4_0, in a file of its size. */
async function writeHead(path: string): Promise<string> {
  const [width, layers, heads, kvHeads, feedForward] = [8192, 80, 64, 8, 28_672] as const
  const numbers = {
    context_length: 8192,
    embedding_length: width,
    block_count: layers,
    feed_forward_length: feedForward,
    'attention.head_count': heads,
    'attention.head_count_kv': kvHeads,
  }
  const metadata = new Map<string, GgufEntry>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ...Object.entries(numbers).map(
      ([key, value]) => [`llama.${key}`, { type: 'u32', value }] as const,
    ),
    ...Object.entries(await tokenizerEntries()),
  ])
  const norm: GgufTensorHead = { dtype: 'f32', shape: [width] }
  const matrix = (rows: number, columns: number = width): GgufTensorHead => ({
    dtype: 'q4_0',
    shape: [rows, columns],
  })
  const layer = {
    attn_norm: norm,
    attn_q: matrix(width),
    attn_k: matrix((width / heads) * kvHeads),
    attn_v: matrix((width / heads) * kvHeads),
    attn_output: matrix(width),
    ffn_norm: norm,
    ffn_gate: matrix(feedForward),
    ffn_up: matrix(feedForward),
    ffn_down: matrix(width, feedForward),
  }
  const tensors = new Map([
    ['token_embd.weight', matrix(512)],
    ['output_norm.weight', norm],
    ...Array.from({ length: layers }, (_, i) =>
      Object.entries(layer).map(([part, head]) => [`blk.${i}.${part}.weight`, head] as const),
    ).flat(),
  ])
  const file = await open(path, 'w')
  const unread = new Error('the tensors are not written')
  let sizeBytes = 0
  try {
    for await (const chunk of encodeGgufStream(metadata, tensors, () => Promise.reject(unread))) {
      await file.write(chunk)
      sizeBytes += chunk.length
    }
  } catch (error) {
    if (error !== unread) throw error
  }
  for (const { dtype, shape } of tensors.values()) sizeBytes += countBytes(dtype, sizeOf(shape))
  await file.truncate(sizeBytes)
  await file.close()
  return path
}

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
