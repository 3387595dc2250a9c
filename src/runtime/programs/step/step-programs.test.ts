import { createProgramCompiler } from '../program-compiler.ts'
import { afterAll, describe, expect, it } from 'vitest'
import { onnxBackend } from '../../../../test/support/onnx.ts'
import { openTiny } from '../../../../test/support/steps.ts'
import type { WeightChoice } from '../base-weights.ts'
import { createForward } from '../forward.ts'
import { createServingProgram } from '../serving-program.ts'
import { hasPieceAttention } from './step-graph.ts'
import { createStepPrograms } from './step-programs.ts'
import { decodeRows, prefillRow, TestRows, toCacheShape } from './testing.ts'

async function open(name: string, choice?: WeightChoice) {
  const tiny = await openTiny(name, choice)
  const { base, weights, config } = tiny
  const programs = createStepPrograms({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend: onnxBackend }),
  })
  afterAll(async () => {
    await programs.dispose()
    await base.weights.close()
  })
  return { ...tiny, programs, shape: toCacheShape(config) }
}

type Opened = Awaited<ReturnType<typeof open>>

const createIds = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 3 + ((i * 37 + seed * 101 + i * i) % 300))

const measureGap = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

async function openForward({ base, weights, config }: Opened) {
  const program = await createServingProgram({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend: onnxBackend }),
    accuracy: 'exact',
  })
  afterAll(() => program.dispose())
  return createForward({ config, weights, program: async () => program })
}

/** Prompts of unequal lengths, read in pieces, then some tokens of each at a time. */
async function expectForward(tiny: Opened, capacity: number): Promise<void> {
  const { programs, config, weights, shape } = tiny
  const prompts = [createIds(45, 1), createIds(17, 2), createIds(70, 3)]
  const forward = await openForward(tiny)
  const cache = forward.cache(prompts.length)
  const expected = (await forward(prompts, cache)).map(([logits]) => logits!)
  const rows = new TestRows(shape, prompts.length, capacity)
  const parts = { config, weights }
  const prefill = await programs.prefill({ accuracy: 'exact' })
  const decode = await programs.decode({ accuracy: 'exact' })
  for (const [row, ids] of prompts.entries()) {
    const pieces = [16, ids.length - 16]
    const logits = await prefillRow(parts, prefill, rows, row, ids, { pieces })
    expect(measureGap(logits, expected[row]!)).toBeLessThan(1e-4)
  }
  for (let step = 0; step < 4; step++) {
    const ids = prompts.map((_, row) => 5 + 7 * step + 11 * row)
    const wanted = await forward(
      ids.map((id) => [id]),
      cache,
    )
    const got = await decodeRows(parts, decode, rows, ids)
    for (const [row, logits] of got.entries())
      expect(measureGap(logits, wanted[row]![0]!)).toBeLessThan(1e-4)
  }
}

describe('step programs give what the whole forward pass gives', () => {
  const names = ['llama', 'qwen2', 'qwen3', 'gemma3_text', 'phi3', 'smollm3', 'mistral_sliding']
  it.each(names)('%s, the cache as one block', async (name) => {
    await expectForward(await open(name), 128)
  })
  it.each(['llama', 'gemma3_text'])('%s, the cache in blocks', async (name) => {
    await expectForward(await open(name), 768)
  })
  it('from packed and stacked weights', async () => {
    await expectForward(await open('llama', 'q4'), 128)
  })
  it('with the kernel for pieces where it serves the model', async () => {
    const served = await Promise.all(names.map((name) => open(name)))
    expect(served.map(({ config }) => hasPieceAttention(config))).toEqual([
      ...[true, true, false, true, true, true, true],
    ])
  })
})
