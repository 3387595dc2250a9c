// Tiny random models of every architecture and RoPE scaling, compared with the results of
// transformers (test/parity/make_arch.py, make_arch_more.py, make_recent.py, make_longrope.py).

import * as ort from 'onnxruntime-node'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { i64, type Tensor } from '../src/base/tensor.ts'
import type { Program } from '../src/compute/backend.ts'
import { createOnnxRuntimeBackend } from '../src/compute/onnxruntime.ts'
import { referenceBackend } from '../src/compute/reference.ts'
import { openSafetensors } from '../src/formats/safetensors/reader.ts'
import { openBaseModel, type BaseModel } from '../src/graph/base-model.ts'
import { collectModelFeeds } from '../src/graph/feeds.ts'
import { composeBlocks } from '../src/graph/model-graph.ts'
import { architectures } from '../src/graph/models/architecture-table.ts'
import { readWeights } from '../src/graph/read-weights.ts'
import { largestGap } from '../src/graph/testing.ts'
import { openFileSource } from '../src/node/files/file-source.ts'
import { openDirectory } from '../src/node/files/folder.ts'
import { root } from './support/sources.ts'

const folders = ['architectures', 'architectures_more', 'architectures_recent', 'longrope'].map(
  (name) => join(root, 'test/parity', name),
)
const cases = folders.flatMap((folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap(({ name, parentPath }) =>
    name.includes('.') ? [] : [{ name, path: join(parentPath, name) }],
  ),
)
const backends = [referenceBackend, createOnnxRuntimeBackend(ort as never, { threads: 2 })]
/**
 * Asked for are 1e-3; measured 2e-5, on logits of about ±10, and 3e-4 where a recurrence adds up.
 */
const chooseTolerance = (name: string): number => (name.startsWith('qwen3_5') ? 5e-4 : 2e-4)
const PROMPT_TOKENS = 20 // of the greedy continuation

const integers = ({ data }: Tensor): number[] => Array.from(data as BigInt64Array, Number)
const counting = (length: number): number[] => Array.from({ length }, (_, i) => i)

describe('the cases', () => {
  it('cover every architecture, and every RoPE scaling', () => {
    expect(
      [...architectures.keys()].filter((name) => !cases.some((one) => one.name.startsWith(name))),
    ).toEqual([])
    expect(cases.map(({ name }) => name)).toEqual(
      expect.arrayContaining(
        ['linear', 'dynamic', 'yarn', 'llama3'].map((type) => `llama_rope_${type}`),
      ),
    )
    expect(cases.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['llama_longrope', 'phi3_longrope']),
    )
  })
})

describe.each(cases)('$name', ({ name, path }) => {
  let base: BaseModel
  let weights: Map<string, Tensor>
  const expected = new Map<string, Tensor>()

  beforeAll(async () => {
    base = await openBaseModel(
      { name, folder: await openDirectory(path) },
      // transformers chooses divisors by the sequence, the engine by the context that is opened
      name.endsWith('longrope_short') ? { ropeScaling: { type: 'longrope', factor: 1 } } : {},
    )
    weights = await readWeights(base)
    const store = await openSafetensors(await openFileSource(join(path, 'expected.safetensors')))
    for (const tensor of store.tensors.keys()) expected.set(tensor, await store.read(tensor))
    await store.close()
  })
  afterAll(() => base.weights.close())

  describe.each(backends)('on $name', (backend) => {
    let program: Program
    beforeAll(async () => {
      program = await backend.compile(composeBlocks(base.graph.blocks), { initializers: weights })
    })
    afterAll(() => program.dispose())

    /** Logits [M, V] of the rows of a batch. */
    async function logitsOf(ids: number[][], rows: number[]): Promise<Tensor> {
      const feeds = collectModelFeeds(base.config, { ids }).set('rows', i64([rows.length], rows))
      return (await program.run(feeds)).get('logits')!
    }

    it('gives the logits of two sequences', async () => {
      const input = expected.get('input_ids')!
      const [batch, tokens] = input.shape as [number, number]
      const ids = counting(batch).map((n) => integers(input).slice(n * tokens, (n + 1) * tokens))
      const logits = await logitsOf(ids, counting(batch * tokens))
      expect(logits.shape).toEqual([batch * tokens, base.config.vocabularySize])
      expect(largestGap(logits, expected.get('logits')!)).toBeLessThan(chooseTolerance(name))
    })
    it('continues greedily with the same 12 tokens', async () => {
      const wanted = integers(expected.get('greedy')!)
      const tokens = wanted.slice(0, PROMPT_TOKENS)
      while (tokens.length < wanted.length) {
        const { data } = await logitsOf([tokens], [tokens.length - 1])
        tokens.push((data as Float32Array).indexOf(Math.max(...(data as Float32Array))))
      }
      expect(tokens).toEqual(wanted)
    })
  })
})
