// A prompt in other pieces, or in a row of another capacity, gives the same bits: what planPieces of
// the engine builds on.
import { createProgramCompiler } from '../program-compiler.ts'
import * as ort from 'onnxruntime-node'
import { afterAll, describe, expect, it } from 'vitest'
import { createSlotFeeds, createTinyAdapter, openTiny } from '../../../../test/support/steps.ts'
import { random } from '../../../base/random.ts'
import { f32, type F32Tensor, i64, type Tensor } from '../../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../../compute/onnxruntime.ts'
import { GraphBuilder } from '../../../graph/builder.ts'
import { normal } from '../../../graph/testing.ts'
import { hasEqualPieces } from '../../../../test/support/equal-pieces.ts'
import { collectRankFeeds } from './step-feeds.ts'
import { createStepPrograms } from './step-programs.ts'
import { prefillRow, TestRows, toCacheShape } from './testing.ts'

// Threads share out products in ways that depend on the number of tokens.
const backend = createOnnxRuntimeBackend(ort as never, { threads: 4 })

const ids = Array.from({ length: 123 }, (_, t) => 3 + ((t * 37 + t * t) % 300))
const cuts = [[123], [16, 107], [64, 48, 11], [96, 27], [112, 11], [16, 16, 16, 16, 16, 16, 16, 11]]

async function open(name: string, form: 'none' | 'shared', accuracy: 'fast' | 'exact') {
  const tiny = await openTiny(name, 'q4')
  const { base, weights, config } = tiny
  const programs = createStepPrograms({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend }),
  })
  afterAll(async () => {
    await programs.dispose()
    await base.weights.close()
  })
  const feeds = form === 'none' ? undefined : createSlotFeeds(tiny, createTinyAdapter(tiny, 16, 1))
  const program = await programs.prefill({ accuracy, form })
  return async (pieces: readonly number[], capacity: number) => {
    const rows = new TestRows(toCacheShape(config), 1, capacity)
    const choice = { pieces, feeds: feeds ? [...feeds, ...collectRankFeeds(feeds)] : [] }
    const logits = await prefillRow({ config, weights }, program, rows, 0, ids, choice)
    return [logits, ...rows.listEntries(0)]
  }
}

describe('hasEqualPieces', () => {
  it('reports whether pieces give equal bits', async () => {
    const tiny = await openTiny('llama', 'q4')
    const { base, weights, config } = tiny
    const programs = createStepPrograms({
      model: base.graph,
      weights,
      compiler: createProgramCompiler({ weights, backend }),
    })
    const feeds = createSlotFeeds(tiny, createTinyAdapter(tiny, 16, 1))
    const shared = new Map<string, Tensor>([...feeds, ...collectRankFeeds(feeds)])
    const parts = { config, weights }
    const plain = await programs.prefill({ accuracy: 'fast' })
    expect(await hasEqualPieces(parts, plain)).toBe(true)
    const adapted = await programs.prefill({ accuracy: 'fast', form: 'shared' })
    expect(await hasEqualPieces(parts, adapted, shared)).toBe(true)
    const drifting = {
      run: async (fed: ReadonlyMap<string, Tensor>) => {
        const outputs = await plain.run(fed)
        const entry = outputs.get('cache.1.v')!.data as Float32Array
        // What depends on the number of tokens differs in the last bits.
        entry[0]! *= 1 + entry.length * 1e-6
        return outputs
      },
    }
    expect(await hasEqualPieces(parts, drifting)).toBe(false)
    await programs.dispose()
    await base.weights.close()
  })
})

const countDifferences = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
  a.reduce(
    (sum, values, i) => sum + values.reduce((n, value, j) => n + Number(value !== b[i]![j]), 0),
    0,
  )

describe.each([
  ['llama', 'none', 'fast'],
  ['llama', 'shared', 'fast'],
  ['qwen2', 'shared', 'exact'],
  ['gemma3_text', 'shared', 'fast'],
  ['smollm3', 'none', 'exact'],
] as const)('%s, %s, %s', (name, form, accuracy) => {
  it('gives the same bits from other pieces and capacities', async () => {
    const run = await open(name, form, accuracy)
    const expected = await run([ids.length], 128)
    for (const pieces of cuts)
      for (const capacity of [128, 256])
        expect(
          countDifferences(await run(pieces, capacity), expected),
          `${pieces.join()} in ${capacity}`,
        ).toBe(0)
  })
})

describe('chunkedProduct', () => {
  // As wide as SmolLM2's: ONNX Runtime sums such rows in parts, by its own choice of lengths.
  const width = 576
  const rank = 48
  const tokens = 240
  const numbers = random(5)
  const x = normal(numbers, [1, tokens, width])
  const A = normal(numbers, [rank, width])
  const first = f32([1, 16, width], x.data.slice(0, 16 * width))

  it('gives a token the same bits whatever goes with it', async () => {
    const g = new GraphBuilder()
    const inputs = [g.input('x', 'f32', [1, 'T', width]), g.input('A', 'f32', ['R', width])]
    g.output('y', g.op('chunkedProduct', [...inputs, g.input('chunk', 'i64', [1])]))
    const program = await backend.compile(g.build())
    afterAll(() => program.dispose())
    const run = async (values: F32Tensor) => {
      const feeds = new Map<string, Tensor>([
        ['x', values],
        ['A', A],
        ['chunk', i64([1], [16])],
      ])
      return (await program.run(feeds)).get('y')!.data.slice(0, 16 * rank)
    }
    expect(await run(first)).toEqual(await run(x))
  })
})
