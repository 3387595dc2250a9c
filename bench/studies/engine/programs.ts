// A step of the programs that serve in steps, compared with the whole forward pass in the same run:
// decoding at several numbers of rows and lengths of context, and reading a prompt.

import { createProgramCompiler } from '../../../src/runtime/programs/program-compiler.ts'
import { initializeAdapter } from '../../../src/adapters/create-adapter.ts'
import type { Adapter } from '../../../src/adapters/index.ts'
import { random } from '../../../src/base/random.ts'
import { f32, type Tensor } from '../../../src/base/tensor.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import type { BaseModel } from '../../../src/graph/base-model.ts'
import { openBaseModel } from '../../../src/graph/index.ts'
import { createNodeBackend } from '../../../src/node/backend.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { type BaseWeights, createBaseWeights } from '../../../src/runtime/programs/base-weights.ts'
import { toEntryName } from '../../../src/runtime/programs/cached-graph.ts'
import { fillSlots } from '../../../test/support/steps.ts'
import type { RankSet } from '../../../src/runtime/engine/pool/adapter-pool.ts'
import { createForward, type Forward } from '../../../src/runtime/programs/forward.ts'
import { createProgramCache } from '../../../src/runtime/programs/program-cache.ts'
import {
  collectGroupFeeds,
  collectRankFeeds,
} from '../../../src/runtime/programs/step/step-feeds.ts'
import {
  createStepPrograms,
  type StepPrograms,
} from '../../../src/runtime/programs/step/step-programs.ts'
import {
  decodeRows,
  prefillRow,
  TestRows,
  toCacheShape,
} from '../../../src/runtime/programs/step/testing.ts'

interface Bench {
  readonly base: BaseModel
  readonly weights: BaseWeights
  readonly programs: StepPrograms
  readonly forward: Forward
  readonly adapters: readonly Adapter[]
  readonly slots: RankSet
}

async function openBench(): Promise<Bench & { close(): Promise<void> }> {
  const base = await openBaseModel(await resolveModel('smollm2-135m-instruct'))
  const weights = createBaseWeights(base.graph, base.weights)
  const backend = await createNodeBackend()
  const compiler = createProgramCompiler({ weights, backend })
  const today = createProgramCache(base, compiler, weights)
  const forward = createForward({
    config: base.config,
    weights,
    program: (served) => today.get(served, 'fast'),
  })
  const adapters = Array.from({ length: 16 }, (_, seed) => createAdapter(base, seed))
  const slots = fillSlots({ base, weights }, 16, adapters)
  const programs = createStepPrograms({ model: base.graph, weights, compiler })
  return {
    base,
    weights,
    programs,
    forward,
    adapters,
    slots,
    async close() {
      await Promise.all([programs.dispose(), today.dispose()])
      await base.weights.close()
    },
  }
}

const createAdapter = (base: BaseModel, seed: number): Adapter =>
  initializeAdapter('lora', { rank: 16, targets: 'all-linear', start: 'random' }, base.graph, {
    seed,
  })

/**
 * Entries of `tokens` tokens of each row, filled: zero pages would be read from no memory at all.
 */
function createEntries({ base }: Bench, rows: number, tokens: number): Map<string, Tensor> {
  const { kvHeads, headWidth, layers } = base.config
  const shape = [rows, kvHeads, tokens, headWidth]
  const { uniform } = random(3)
  const noise = Float32Array.from({ length: 8191 }, () => uniform() - 0.5)
  const entry = f32(shape)
  for (let i = 0; i < entry.data.length; i++) entry.data[i] = noise[i % noise.length]!
  const names = layers.flatMap((_, layer) =>
    (['k', 'v'] as const).map((part) => toEntryName(layer, part)),
  )
  return new Map(names.map((name) => [name, entry]))
}

/** Classes of the engine's rows. */
const chooseCapacity = (tokens: number): number =>
  [320, 384, 512].find((slots) => slots >= tokens) ?? Math.ceil(tokens / 256) * 256

type Who = 'base' | 'one r16 for all' | 'a r16 for each row'

/** One decode step each, ours and today's; both rows of the cache hold `context` tokens. */
async function createDecodeSteps(bench: Bench, who: Who, count: number, context: number) {
  const { base, weights, programs, forward, adapters, slots } = bench
  const rows = new TestRows(toCacheShape(base.config), count, chooseCapacity(context + 1))
  const cache = forward.cache(count)
  const all = Array.from({ length: count }, (_, row) => row)
  const entries = createEntries(bench, count, context)
  rows.append(all, entries, context)
  cache.append(
    entries,
    all.map(() => context),
  )
  const ids = all.map((row) => 1000 + row)
  const form = who === 'base' ? 'none' : who === 'one r16 for all' ? 'shared' : 'grouped'
  const program = await programs.decode({ accuracy: 'fast', form })
  const feeds: ReadonlyMap<string, Tensor> =
    form === 'none'
      ? new Map()
      : form === 'shared'
        ? slots.slotFeeds(0)
        : new Map([
            ...slots.groupedFeeds(0, { first: 0, count }),
            ...collectGroupFeeds(0, { active: count, slots: all, units: slots.units }),
          ])
  const served =
    form === 'none' ? undefined : form === 'shared' ? adapters[0] : adapters.slice(0, count)
  return {
    async ours() {
      await decodeRows({ config: base.config, weights }, program, rows, ids, feeds)
      rows.lengths.fill(context)
    },
    async today() {
      await forward(
        ids.map((id) => [id]),
        cache,
        { served },
      )
      for (const row of all) cache.truncate(row, context)
    },
  }
}

async function createPrefillSteps(
  { base, weights, programs, forward, adapters, slots }: Bench,
  who: Who,
  length: number,
) {
  const ids = Array.from({ length }, (_, i) => 1000 + ((i * 37) % 20_000))
  const rows = new TestRows(toCacheShape(base.config), 1, chooseCapacity(length))
  const form = who === 'base' ? 'none' : 'shared'
  const program = await programs.prefill({ accuracy: 'fast', form })
  const own = slots.slotFeeds(0)
  const feeds = form === 'none' ? [] : [...own, ...collectRankFeeds(own)]
  const pieces = Array.from({ length: Math.ceil(length / 512) }, (_, i) =>
    Math.min(512, length - 512 * i),
  )
  return {
    async ours() {
      rows.lengths.fill(0)
      await prefillRow({ config: base.config, weights }, program, rows, 0, ids, { pieces, feeds })
    },
    async today() {
      await forward([ids], forward.cache(1), { served: form === 'none' ? undefined : adapters[0] })
    },
  }
}

/** Milliseconds that have passed, and those that this process has computed in them. */
interface Times {
  readonly wall: number[]
  readonly cpu: number[]
}

/** Both in turn, several of one kind in a row as decoding runs; the first of each is left out. */
async function measureBoth(
  { ours, today }: { ours(): Promise<void>; today(): Promise<void> },
  runs: number,
): Promise<{ ours: Times; today: Times }> {
  const times = { ours: { wall: [], cpu: [] }, today: { wall: [], cpu: [] } }
  const measure = async (run: () => Promise<void>, { wall, cpu }: Times): Promise<void> => {
    const start = performance.now()
    const before = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(before)
    wall.push(performance.now() - start)
    cpu.push((user + system) / 1000)
  }
  const block = Math.min(runs, 6)
  for (let done = 0; done < runs; done += block) {
    await ours()
    for (let i = 0; i < block; i++) await measure(ours, times.ours)
    await today()
    for (let i = 0; i < block; i++) await measure(today, times.today)
  }
  return times
}

const decodeCases: readonly (readonly [number, number])[] = [
  ...[1, 4, 10, 16].map((count) => [count, 256] as const),
  ...[2048, 4096, 7900].map((context) => [1, context] as const),
  [16, 2048],
]

async function* measurePrograms(context: BenchmarkContext): AsyncGenerator<BenchmarkRow> {
  const bench = await openBench()
  const only = context.environment['GRAFT_BENCH_PROGRAMS']
  try {
    for (const [count, tokens] of decodeCases)
      for (const who of ['base', 'one r16 for all', 'a r16 for each row'] as const) {
        const name = `decode step, ${count} × ${tokens}, ${who}`
        if ((who === 'a r16 for each row' && count === 1) || (only && !name.includes(only)))
          continue
        context.progress(name)
        const runs = count * tokens > 8000 ? 6 : 18
        const times = await measureBoth(await createDecodeSteps(bench, who, count, tokens), runs)
        yield toRow(name, times)
      }
    for (const tokens of [256, 2048])
      for (const who of ['base', 'one r16 for all'] as const) {
        const name = `prefill ${tokens}, ${who}`
        if (only && !name.includes(only)) continue
        context.progress(name)
        yield toRow(name, await measureBoth(await createPrefillSteps(bench, who, tokens), 4))
      }
  } finally {
    await bench.close()
  }
}

function toRow(name: string, { ours, today }: { ours: Times; today: Times }): BenchmarkRow {
  const [own, other] = [ours, today].map(({ cpu }) => summarizeValues(cpu).median.toFixed(1))
  return toBenchmarkRow({
    name,
    unit: 'ms',
    higherIsBetter: false,
    ours: ours.wall,
    reference: { name: 'the whole forward pass', values: today.wall },
    note: `CPU ms: ${own} against ${other}`,
  })
}

export const programsStudy: Benchmark = {
  name: 'programs',
  summary: 'a step of the serving programs, against the whole forward pass: milliseconds',
  needs: 'the model smollm2-135m-instruct; GRAFT_BENCH_PROGRAMS: a part of the names to run',
  run: measurePrograms,
}
