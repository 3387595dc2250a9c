// The real model from its 4-bit file, compared with transformers on the same weights
// (test/parity/make_smollm2.py): base, and a LoRA of PEFT.

import { readFileSync } from 'node:fs'
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter } from '../src/adapters/index.ts'
import { createOnnxRuntimeBackend } from '../src/compute/onnxruntime.ts'
import { openSafetensors } from '../src/formats/safetensors/reader.ts'
import { openBaseModel } from '../src/graph/index.ts'
import { openFileSource } from '../src/node/files/file-source.ts'
import { openDirectory } from '../src/node/files/folder.ts'
import {
  measureActivationError,
  createModel,
  type GenerateOptions,
  type Model,
} from '../src/runtime/index.ts'
import { smollm2Q4 } from './smollm2.ts'

interface Case {
  prompt: string
  prompt_ids: number[]
  completion_ids: number[]
  completion_loss: number
  greedy_32: number[]
}

const folder = new URL('./parity/smollm2/', import.meta.url)
let missing: string | undefined
let model: Model

beforeAll(async () => {
  const found = await smollm2Q4()
  if ('reason' in found) return void (missing = found.reason)
  const base = await openBaseModel({ name: 'smollm2-135m-instruct', gguf: found.gguf })
  model = createModel({ base, backend: createOnnxRuntimeBackend(ort as never, { threads: 2 }) })
}, 330_000)
afterAll(() => model?.dispose())

async function tokens(
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<readonly number[]> {
  for await (const event of model.generate(prompt, options))
    if (event.type === 'generation-end') return event.ids
  return []
}

describe.each(['base', 'snips_qv_r8'])('SmolLM2-135M, Q4_1: %s', (name) => {
  beforeEach((context) => context.skip(missing !== undefined, missing))
  const cases = JSON.parse(readFileSync(new URL(`${name}/cases.json`, folder), 'utf8')) as Case[]
  let adapter: Adapter | undefined
  beforeAll(async () => {
    if (name !== 'base')
      adapter = await loadAdapter(await openDirectory(new URL(name, folder).pathname))
  })

  it.each(cases.map(({ prompt, ...one }, k) => [k, prompt.slice(0, 24), one] as const))(
    'case %i: logits within 2e-3, loss, 32 greedy tokens: %s',
    async (k, _, one) => {
      const expected = await openSafetensors(
        await openFileSource(new URL(`${name}/expected.safetensors`, folder).pathname),
      )
      const last = (await expected.read(`${k}.last_logits`)).data as Float32Array
      await expected.close()
      const [logits] = await model.nextLogits([one.prompt_ids], 'exact', { adapter })
      expect(Math.max(...logits!.map((value, i) => Math.abs(value - last[i]!)))).toBeLessThan(2e-3)
      const ids = [...one.prompt_ids, ...one.completion_ids]
      const labels = [...one.prompt_ids.map(() => -100), ...one.completion_ids]
      expect(await model.loss([ids], [labels], { adapter })).toBeCloseTo(one.completion_loss, 4)
      expect(
        await tokens(one.prompt_ids, { adapter, exact: true, maxTokens: 32, minTokens: 32 }),
      ).toEqual(one.greedy_32)
    },
    120_000,
  )
})

describe('SmolLM2-135M, fast path', () => {
  beforeEach((context) => context.skip(missing !== undefined, missing))

  it('base, adapter, base: the base answers as before', async () => {
    const adapter = await loadAdapter(await openDirectory(new URL('snips_qv_r8', folder).pathname))
    const prompt = model.encode([{ role: 'user', content: 'Book a table for two at Nobu in Oslo' }])
    const options = { maxTokens: 24 }
    const first = await tokens(prompt, options)
    const expert = await tokens(prompt, { ...options, adapter })
    expect(expert).not.toEqual(first)
    expect(await tokens(prompt, options)).toEqual(first)
    expect(await tokens(prompt, { ...options, adapter })).toEqual(expert)
  }, 60_000)

  it('stays near the exact path', async () => {
    const prompts = [
      'The capital of France is',
      'def fibonacci(n):',
      'Water boils at',
      'Once upon a time',
      'SELECT name FROM',
    ]
    const { meanDivergence, equalGreedy } = await measureActivationError(model, prompts)
    expect(meanDivergence).toBeLessThan(0.05)
    expect(equalGreedy).toBeGreaterThanOrEqual(0.6)
  }, 60_000)
})
