// The cost of a call that verifies drafts compared with one that writes a token, and the distance
// of their logits, for the study `speculation`.

import { createProgramCompiler } from '../../../src/runtime/programs/program-compiler.ts'
import { readFile } from 'node:fs/promises'
import type { Tensor } from '../../../src/base/tensor.ts'
import { type BenchmarkRow, toBenchmarkRow } from '../../../src/cli/bench/benchmark.ts'
import type { Accuracy } from '../../../src/compute/pack-linears.ts'
import { openBaseModel } from '../../../src/graph/index.ts'
import { createNodeBackend } from '../../../src/node/backend.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { createBaseWeights } from '../../../src/runtime/programs/base-weights.ts'
import {
  collectDecodeFeeds,
  collectPrefillFeeds,
  type StepFeedParts,
} from '../../../src/runtime/programs/step/step-feeds.ts'
import {
  type CompiledStep,
  createStepPrograms,
} from '../../../src/runtime/programs/step/step-programs.ts'
import { prefillRow, TestRows, toCacheShape } from '../../../src/runtime/programs/step/testing.ts'

const CAPACITY = 512
const CONTEXT = 200
const REPEATS = 15

interface CallBench {
  readonly parts: StepFeedParts
  readonly prefill: CompiledStep
  readonly decode: CompiledStep
  readonly ids: readonly number[]
}

const createRows = ({ parts }: CallBench, count: number): TestRows =>
  new TestRows(toCacheShape(parts.config), count, CAPACITY)

/** Milliseconds of a call; its outputs are not kept. */
async function timeAhead(bench: CallBench, rows: TestRows, tokens: number): Promise<number> {
  const { parts, prefill, ids } = bench
  const piece = ids.slice(CONTEXT, CONTEXT + tokens)
  const span = { ids: [piece], lengths: [rows.lengths[0]!], capacity: CAPACITY }
  const start = performance.now()
  const own = await collectPrefillFeeds(parts, { ...span, picks: [...piece.keys()] })
  await prefill.run(new Map([...own, ...rows.feedsOf(0)]))
  return performance.now() - start
}

async function timeWrite({ parts, decode, ids }: CallBench, rows: TestRows): Promise<number> {
  const span = { ids: rows.lengths.map(() => [ids[CONTEXT]!]), lengths: rows.lengths }
  const start = performance.now()
  const own = await collectDecodeFeeds(parts, { ...span, capacity: CAPACITY })
  await decode.run(new Map([...own, ...rows.past]))
  return performance.now() - start
}

async function* measureCosts(bench: CallBench, name: Accuracy): AsyncGenerator<BenchmarkRow> {
  const one = createRows(bench, 1)
  const two = createRows(bench, 2)
  for (const rows of [one, two])
    for (const row of rows.lengths.keys())
      await prefillRow(bench.parts, bench.prefill, rows, row, bench.ids.slice(0, CONTEXT))
  const calls: [string, () => Promise<number>][] = [
    ['two rows write', () => timeWrite(bench, two)],
    ...[2, 3, 4, 6, 8].map((tokens): [string, () => Promise<number>] => [
      `${tokens} tokens ahead`,
      () => timeAhead(bench, one, tokens),
    ]),
  ]
  for (const [what, time] of calls) {
    const ours: number[] = []
    const values: number[] = []
    for (let i = 0; i < REPEATS; i++) {
      values.push(await timeWrite(bench, one))
      ours.push(await time())
    }
    const reference = { name: 'one row writes', values }
    yield toBenchmarkRow({
      name: `${what}, ${name}`,
      unit: 'ms',
      higherIsBetter: false,
      ours,
      reference,
    })
  }
}

const findLargest = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > values[best]! ? i : best), 0)

const getLogits = (outputs: ReadonlyMap<string, Tensor>): Float32Array =>
  outputs.get('logits')!.data as Float32Array

/** A text, token by token by one program and in pairs by the other. */
async function* measureGaps(bench: CallBench, name: Accuracy): AsyncGenerator<BenchmarkRow> {
  const { parts, prefill, decode, ids } = bench
  const written = createRows(bench, 1)
  const read = createRows(bench, 1)
  for (const rows of [written, read])
    await prefillRow(parts, prefill, rows, 0, ids.slice(0, CONTEXT))
  const gaps: number[] = []
  let agreeing = 0
  const end = CONTEXT + 200
  for (let at = CONTEXT; at < end; at += 2) {
    const span = { ids: [ids.slice(at, at + 2)], lengths: [at], capacity: CAPACITY }
    const own = await collectPrefillFeeds(parts, { ...span, picks: [0, 1] })
    const outputs = await prefill.run(new Map([...own, ...read.feedsOf(0)]))
    read.append([0], outputs, 2)
    const both = getLogits(outputs)
    for (const i of [0, 1]) {
      const one = { ids: [[ids[at + i]!]], lengths: [at + i], capacity: CAPACITY }
      const feeds = await collectDecodeFeeds(parts, one)
      const result = await decode.run(new Map([...feeds, ...written.past]))
      written.append([0], result, 1)
      const logits = getLogits(result)
      const other = both.subarray(i * logits.length, (i + 1) * logits.length)
      gaps.push(logits.reduce((most, value, j) => Math.max(most, Math.abs(value - other[j]!)), 0))
      if (findLargest(logits) === findLargest(other)) agreeing++
    }
  }
  yield toBenchmarkRow({
    name: `largest difference of a token’s logits, ${name}`,
    unit: 'logit',
    higherIsBetter: false,
    ours: gaps,
    note: `the same first choice at ${agreeing} of ${gaps.length} tokens`,
  })
}

export async function* measureCalls(): AsyncGenerator<BenchmarkRow> {
  const base = await openBaseModel(await resolveModel('smollm2-135m-instruct'))
  const weights = createBaseWeights(base.graph, base.weights)
  const backend = await createNodeBackend()
  const programs = createStepPrograms({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend }),
  })
  const text = await readFile(new URL('../../../docs/learn.md', import.meta.url), 'utf8')
  const ids = base.tokenizer!.encode(text)
  try {
    for (const accuracy of ['fast', 'exact'] as const) {
      const prefill = await programs.prefill({ accuracy })
      const decode = await programs.decode({ accuracy })
      const bench = { parts: { config: base.config, weights }, prefill, decode, ids }
      yield* measureCosts(bench, accuracy)
      yield* measureGaps(bench, accuracy)
    }
  } finally {
    await programs.dispose()
    await base.weights.close()
  }
}
