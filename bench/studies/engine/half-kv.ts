// Keys and values in 16 bits compared with 32: a decode step's time, the rows' bytes, and the error
// that rounding leaves in the logits of a real model over a text.

import { createProgramCompiler } from '../../../src/runtime/programs/program-compiler.ts'
import { readFile } from 'node:fs/promises'
import { random } from '../../../src/base/random.ts'
import { f32, sizeOf, type Tensor } from '../../../src/base/tensor.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import type { Accuracy } from '../../../src/compute/pack-linears.ts'
import { type BaseModel, openBaseModel } from '../../../src/graph/index.ts'
import { createNodeBackend } from '../../../src/node/backend.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { createKvMemory, type KvMemory } from '../../../src/runtime/engine/kv/kv-memory.ts'
import { BLOCK_SIZE, type KvElement } from '../../../src/runtime/engine/kv/kv-types.ts'
import { type BaseWeights, createBaseWeights } from '../../../src/runtime/programs/base-weights.ts'
import { computeKvWidth, toEntryName } from '../../../src/runtime/programs/cached-graph.ts'
import {
  collectDecodeFeeds,
  collectPrefillFeeds,
} from '../../../src/runtime/programs/step/step-feeds.ts'
import {
  createStepPrograms,
  type StepPrograms,
} from '../../../src/runtime/programs/step/step-programs.ts'
import { toCacheShape } from '../../../src/runtime/programs/step/testing.ts'

interface Bench {
  readonly base: BaseModel
  readonly weights: BaseWeights
  readonly programs: StepPrograms
}

const elements = ['f32', 'f16', 'int8'] as const
const TEXT_TOKENS = 2048
const PIECE_TOKENS = 256

const createMemory = ({ base }: Bench, element: KvElement, rows: number, tokens: number) =>
  createKvMemory({
    shape: toCacheShape(base.config),
    blocks: rows * Math.ceil((tokens + BLOCK_SIZE) / BLOCK_SIZE),
    maxRows: rows,
    element,
  })

/** A row's entries of `tokens` tokens, filled: zero pages would be read from no memory at all. */
function createEntries(
  { base }: Bench,
  element: KvElement,
  tokens: number,
): ReadonlyMap<string, Tensor> {
  const { kvHeads, headWidth, layers } = base.config
  const { uniform } = random(3)
  const shape = [1, kvHeads, tokens, computeKvWidth(element, headWidth)]
  const numbers = Float32Array.from({ length: sizeOf(shape) }, () => uniform() - 0.5)
  const entry: Tensor =
    element === 'int8'
      ? { dtype: 'i8', shape, data: Int8Array.from(numbers, (value) => value * 200) }
      : f32(shape, numbers)
  return new Map(
    layers.flatMap((_, layer) =>
      (['k', 'v'] as const).map((part) => [toEntryName(layer, part), entry] as const),
    ),
  )
}

interface DecodeStep {
  readonly memory: KvMemory
  run(): Promise<void>
}

/** The call of one decode step, `count` rows behind `context` tokens each. */
async function createDecodeStep(
  bench: Bench,
  past: KvElement,
  count: number,
  context: number,
): Promise<DecodeStep> {
  const { base, weights, programs } = bench
  const memory = createMemory(bench, past, count, context)
  const entries = createEntries(bench, past, context)
  for (let i = 0; i < count; i++) {
    const row = memory.open('shared', { keys: [], cached: 0, tokens: context + 1 })!
    memory.append([row], entries, [context])
    memory.markReady(row)
  }
  const program = await programs.decode({ accuracy: 'fast', past })
  const [bank] = memory.banks
  const ids = Array.from({ length: count }, (_, row) => [1000 + row])
  const lengths = ids.map(() => context)
  return {
    memory,
    async run() {
      const span = { ids, lengths, capacity: bank!.capacity }
      const own = await collectDecodeFeeds({ config: base.config, weights }, span)
      await program.run(new Map([...own, ...bank!.feeds(0, count)]))
    },
  }
}

/** Six steps of one element, then six of the other; the first of each six is left out. */
async function measureSteps(
  steps: Readonly<Record<KvElement, DecodeStep>>,
  turns: number,
): Promise<Record<KvElement, number[]>> {
  const times: Record<KvElement, number[]> = { f32: [], f16: [], int8: [] }
  for (let turn = 0; turn < turns; turn++)
    for (const element of elements)
      for (let i = 0; i < 6; i++) {
        const start = performance.now()
        await steps[element].run()
        if (i > 0) times[element].push(performance.now() - start)
      }
  return times
}

async function* measureDecode(bench: Bench): AsyncGenerator<BenchmarkRow> {
  for (const [count, context] of [
    [1, 256],
    [16, 256],
    [1, 2048],
    [16, 2048],
  ] as const) {
    const steps = {
      f32: await createDecodeStep(bench, 'f32', count, context),
      f16: await createDecodeStep(bench, 'f16', count, context),
      int8: await createDecodeStep(bench, 'int8', count, context),
    }
    const times = await measureSteps(steps, count * context > 8000 ? 2 : 4)
    const countMegabytes = (element: KvElement): string =>
      `${(steps[element].memory.statistics.rowBytes / 1e6).toFixed(1)} MB`
    for (const element of ['f16', 'int8'] as const)
      yield toBenchmarkRow({
        name: `decode step, ${count} × ${context}, ${element}`,
        unit: 'ms',
        higherIsBetter: false,
        ours: times[element],
        reference: { name: 'f32', values: times.f32 },
        note: `rows: ${countMegabytes(element)} against ${countMegabytes('f32')}`,
      })
  }
}

/** How a text is read. */
interface Form {
  readonly accuracy: Accuracy
  readonly past: KvElement
}

/** Reads a text piece by piece; gives the logits of each of a piece's tokens. */
async function createReader(bench: Bench, { accuracy, past }: Form, tokens: number) {
  const { base, weights, programs } = bench
  const memory = createMemory(bench, past, 1, tokens)
  const row = memory.open('shared', { keys: [], cached: 0, tokens })!
  const program = await programs.prefill({ accuracy, past })
  return async (piece: readonly number[]): Promise<Float32Array[]> => {
    const span = { ids: [piece], lengths: [row.length], capacity: row.bank.capacity }
    const picks = [...piece.keys()]
    const own = await collectPrefillFeeds({ config: base.config, weights }, { ...span, picks })
    const outputs = await program.run(new Map([...own, ...row.bank.feeds(row.index, 1)]))
    memory.append([row], outputs, [piece.length])
    const { data, shape } = outputs.get('logits') as Tensor<Float32Array>
    const width = shape[1]!
    return picks.map((at) => data.subarray(at * width, (at + 1) * width))
  }
}

const findLargest = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > values[best]! ? i : best), 0)

/** −log p of a token. */
function computeLoss(logits: Float32Array, id: number): number {
  const most = logits[findLargest(logits)]!
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0)
  return Math.log(sum) + most - logits[id]!
}

const computeMean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

interface TextErrors {
  /** By token: the largest difference of a logit. */
  readonly gaps: number[]
  readonly losses: readonly [number[], number[]]
  /** Tokens whose first choice is the same. */
  agreeing: number
}

/** Two ways to read a text, compared piece by piece, because its logits take 400 MB. */
async function compareLogits(
  bench: Bench,
  forms: readonly [Form, Form],
  ids: readonly number[],
): Promise<TextErrors> {
  const errors: TextErrors = { gaps: [], losses: [[], []], agreeing: 0 }
  const readFirst = await createReader(bench, forms[0], ids.length)
  const readSecond = await createReader(bench, forms[1], ids.length)
  for (let start = 0; start < ids.length; start += PIECE_TOKENS) {
    const piece = ids.slice(start, start + PIECE_TOKENS)
    const second = await readSecond(piece)
    for (const [t, logits] of (await readFirst(piece)).entries()) {
      const other = second[t]!
      const next = ids[start + t + 1]
      errors.gaps.push(
        logits.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0),
      )
      if (findLargest(logits) === findLargest(other)) errors.agreeing++
      if (next === undefined) continue
      errors.losses[0].push(computeLoss(logits, next))
      errors.losses[1].push(computeLoss(other, next))
    }
  }
  return errors
}

const comparisons: readonly (readonly [string, Form, Form])[] = [
  [
    'f16 against f32, exact',
    { accuracy: 'exact', past: 'f16' },
    { accuracy: 'exact', past: 'f32' },
  ],
  ['f16 against f32, fast', { accuracy: 'fast', past: 'f16' }, { accuracy: 'fast', past: 'f32' }],
  [
    'int8 against f32, exact',
    { accuracy: 'exact', past: 'int8' },
    { accuracy: 'exact', past: 'f32' },
  ],
  ['int8 against f32, fast', { accuracy: 'fast', past: 'int8' }, { accuracy: 'fast', past: 'f32' }],
  [
    'fast against exact, f32',
    { accuracy: 'fast', past: 'f32' },
    { accuracy: 'exact', past: 'f32' },
  ],
]

async function* measureErrors(bench: Bench, text: string): AsyncGenerator<BenchmarkRow> {
  const ids = bench.base.tokenizer!.encode(text).slice(0, TEXT_TOKENS)
  for (const [name, ...forms] of comparisons) {
    const { gaps, losses, agreeing } = await compareLogits(bench, forms, ids)
    const [own, other] = losses.map((values) => computeMean(values).toFixed(5))
    yield toBenchmarkRow({
      name: `error of a token’s logits: ${name}`,
      unit: 'logit',
      higherIsBetter: false,
      ours: gaps,
      note: `loss ${own} and ${other} nats; the same first choice at ${agreeing} of ${gaps.length} tokens`,
    })
  }
}

async function* measureHalfKv({
  environment,
  progress,
}: BenchmarkContext): AsyncGenerator<BenchmarkRow> {
  const base = await openBaseModel(await resolveModel('smollm2-135m-instruct'))
  const weights = createBaseWeights(base.graph, base.weights)
  const backend = await createNodeBackend()
  const programs = createStepPrograms({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend }),
  })
  const bench = { base, weights, programs }
  try {
    const only = environment['GRAFT_BENCH_HALF']
    progress('decode steps')
    if (only !== 'logits') yield* measureDecode(bench)
    if (only === 'steps') return
    progress('logits over a text')
    yield* measureErrors(
      bench,
      await readFile(new URL('../../../docs/learn.md', import.meta.url), 'utf8'),
    )
  } finally {
    await programs.dispose()
    await base.weights.close()
  }
}

export const halfKvStudy: Benchmark = {
  name: 'half-kv',
  summary:
    'keys and values in 16 and 8 bits against 32: a decode step, bytes, errors of the logits',
  needs: 'the model smollm2-135m-instruct; GRAFT_BENCH_HALF: steps or logits alone',
  run: measureHalfKv,
}
