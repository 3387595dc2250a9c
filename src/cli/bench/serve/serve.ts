// The engine compared with llama.cpp and with the base alone: SmolLM2-135M's shape in Q4_0, LoRA
// r16 on all linear layers, 256 + 64 tokens per request.

import type { Adapter } from '../../../adapters/index.ts'
import { OptionError } from '../../../base/errors.ts'
import { createNodeBackend } from '../../../node/backend.ts'
import { loadModel } from '../../../node/index.ts'
import { createModel, type Engine, type Model } from '../../../runtime/index.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from '../benchmark.ts'
import {
  createFreshPrompt,
  measureComingAndGoing,
  measureFirstToken,
  measureLongContext,
  measureTogether,
  withEngine,
} from './serve-cases.ts'
import { contexts, measureLlama, type LlamaSpeeds } from './serve-llama.ts'
import { compareUsers } from './serve-users.ts'
import { createSyntheticAdapter, createSyntheticBase } from '../synthetic.ts'

const rounds = 3
const big = { maxRows: 16, kvBytes: 2 ** 30, expertBytes: 4 * 2 ** 30 }

interface Subjects {
  readonly model: Model
  readonly experts: readonly Adapter[]
  readonly context: BenchmarkContext
}

/** Alternates two measurements; the first round compiles and is left out. */
async function measureInTurns(
  one: () => Promise<number>,
  other: () => Promise<number>,
): Promise<{ one: number[]; other: number[] }> {
  const times: { one: number[]; other: number[] } = { one: [], other: [] }
  for (let round = 0; round <= rounds; round++) {
    const first = await one()
    const second = await other()
    if (round === 0) continue
    times.one.push(first)
    times.other.push(second)
  }
  return times
}

/** Concurrent rows: base and experts. */
async function* compareFixedBatches(
  { experts, context, model }: Subjects,
  { totals }: LlamaSpeeds,
): AsyncGenerator<BenchmarkRow> {
  for (const rows of [1, 4, 10, 16]) {
    context.progress(`${rows} rows of 256 + 64 tokens`)
    const own = experts.slice(0, rows)
    const none = own.map(() => undefined)
    const { one, other } = await withEngine(model, big, (engine) =>
      measureInTurns(
        () => measureTogether(engine, own),
        () => measureTogether(engine, none),
      ),
    )
    yield toBenchmarkRow({
      name: `${rows} at once, base`,
      unit: 'tokens/s',
      higherIsBetter: true,
      ours: other,
    })
    yield toBenchmarkRow({
      name: `${rows} at once, an expert each, to the base`,
      unit: 'tokens/s',
      higherIsBetter: true,
      ours: one,
      reference: { name: 'base', values: other },
    })
    if (rows === 10) yield* compareTen(model, own, { exact: one, totals })
  }
}

/**
 * Ten experts against llama.cpp, which multiplies prompts by integers: with f32 and with integers.
 */
async function* compareTen(
  model: Model,
  experts: readonly Adapter[],
  { exact, totals }: { exact: readonly number[]; totals: readonly number[] },
): AsyncGenerator<BenchmarkRow> {
  const name = '10 at once, an expert each, to llama.cpp one at a time'
  const row = { unit: 'tokens/s', higherIsBetter: true, goal: 4.3 }
  const reference = { name: 'llama.cpp Q4_0', values: totals }
  yield toBenchmarkRow({ ...row, name, ours: exact, reference })
  const rounded: number[] = []
  await withEngine(
    model,
    Object.assign({ promptProducts: 'int8' as const }, big),
    async (engine) => {
      await measureTogether(engine, experts) // compiles
      for (let round = 0; round < rounds; round++)
        rounded.push(await measureTogether(engine, experts))
    },
  )
  yield toBenchmarkRow({ ...row, name: `${name}, prompts in 8 bits`, ours: rounded, reference })
}

interface Composition {
  readonly name: string
  readonly goal: number
  readonly ours: readonly (Adapter | undefined)[]
  readonly reference: readonly (Adapter | undefined)[]
}

function listCompositions({ experts, model }: Subjects): Composition[] {
  const base = (rows: number) => new Array<undefined>(rows).fill(undefined)
  const ranked = (rank: number, first: number) =>
    createSyntheticAdapter(model.base, 'lora', undefined, { rank, first })
  const small = Array.from({ length: 4 }, (_, i) => ranked(4, 9000 + i))
  const large = Array.from({ length: 8 }, (_, i) => ranked(64, 8000 + i))
  return [
    { name: '10 come and go', goal: 0.84, ours: experts.slice(0, 10), reference: base(10) },
    { name: '16 come and go', goal: 0.76, ours: experts, reference: base(16) },
    {
      name: '4 experts of 4 rows come and go',
      goal: 0.82,
      ours: experts.map((_, i) => experts[i % 4]),
      reference: base(16),
    },
    {
      name: '4 of rank 4 and 4 of rank 64, to 8 of rank 64',
      goal: 0.9,
      ours: [...small, ...large.slice(0, 4)],
      reference: large,
    },
  ]
}

async function* compareComingAndGoing(subjects: Subjects): AsyncGenerator<BenchmarkRow> {
  for (const { name, goal, ours, reference } of listCompositions(subjects)) {
    subjects.context.progress(name)
    const { one, other } = await withEngine(subjects.model, big, (engine) =>
      measureInTurns(
        () => measureComingAndGoing(engine, ours),
        () => measureComingAndGoing(engine, reference),
      ),
    )
    yield toBenchmarkRow({
      name,
      unit: 'tokens/s',
      higherIsBetter: true,
      goal,
      ours: one,
      reference: { name: 'the same in the same run', values: other },
    })
  }
  const half = { ...big, expertBytes: 8 * 20_000_000 }
  const fits = await withEngine(subjects.model, big, (engine) => repeatServing(engine, subjects))
  const tight = await withEngine(subjects.model, half, (engine) => repeatServing(engine, subjects))
  yield toBenchmarkRow({
    name: '16 experts in slots for 8, to slots for 16',
    unit: 'tokens/s',
    higherIsBetter: true,
    goal: 0.5,
    ours: tight,
    reference: { name: 'slots for 16', values: fits },
  })
}

async function repeatServing(engine: Engine, { experts }: Subjects): Promise<number[]> {
  const speeds: number[] = []
  for (let round = 0; round < rounds; round++)
    speeds.push(await measureComingAndGoing(engine, experts))
  return speeds
}

async function* measureLatency({ model, experts }: Subjects): AsyncGenerator<BenchmarkRow> {
  for (const promptProducts of ['same', 'int8'] as const) {
    const options = Object.assign({ promptProducts }, big)
    const { one, other } = await withEngine(model, options, async (engine) => {
      let prompt = createFreshPrompt()
      await measureFirstToken(engine, prompt, experts[0]) // compiles
      return measureInTurns(
        () => measureFirstToken(engine, (prompt = createFreshPrompt()), experts[0]),
        () => measureFirstToken(engine, prompt, experts[0]),
      )
    })
    const form = promptProducts === 'same' ? '' : ', products in 8 bits'
    const row = { unit: 'ms', higherIsBetter: false } as const
    yield toBenchmarkRow({
      ...row,
      name: `first token, 256-token prompt${form} (aim: 200)`,
      ours: one,
    })
    yield toBenchmarkRow({
      ...row,
      name: `first token, prefix cached${form} (aim: 35)`,
      ours: other,
    })
  }
}

async function* compareLongContexts(
  { model, context }: Subjects,
  { behind }: LlamaSpeeds,
): AsyncGenerator<BenchmarkRow> {
  for (const length of contexts) {
    context.progress(`writing behind ${length} tokens`)
    const speeds = behind.get(length)
    yield toBenchmarkRow({
      name: `writing behind ${length} tokens, base`,
      unit: 'tokens/s',
      higherIsBetter: true,
      goal: 1.25,
      ours: await withEngine(model, big, async (engine) => [
        await measureLongContext(engine, length),
        await measureLongContext(engine, length),
      ]),
      reference: speeds && { name: 'llama.cpp Q4_0', values: speeds },
    })
  }
}

async function* measureStories(): AsyncGenerator<BenchmarkRow> {
  const model = await loadModel('stories260k')
  const speeds: number[] = []
  for (let round = 0; round < 6; round++)
    for await (const event of model.generate('Once', {
      maxTokens: 256,
      minTokens: 256,
      cache: false,
    }))
      if (event.type === 'generation-end' && round > 0) speeds.push(event.tokensPerSecond)
  await model.dispose()
  yield toBenchmarkRow({
    name: 'stories260k, one sequence (aim: 2,500)',
    unit: 'tokens/s',
    higherIsBetter: true,
    ours: speeds,
  })
}

async function* measureUsers({ context }: Subjects): AsyncGenerator<BenchmarkRow> {
  context.progress('10 users of a learner')
  yield await compareUsers()
}

type Part = (subjects: Subjects, llama: LlamaSpeeds) => AsyncIterable<BenchmarkRow>

const parts = {
  stories: measureStories,
  together: compareFixedBatches,
  turns: compareComingAndGoing,
  latency: measureLatency,
  users: measureUsers,
  long: compareLongContexts,
} satisfies Record<string, Part>

type PartName = keyof typeof parts

function readParts({ environment }: BenchmarkContext): PartName[] {
  const all = Object.keys(parts) as PartName[]
  const named = environment['GRAFT_BENCH_PARTS']?.split(',')
  const unknown = named?.find((name) => !all.includes(name as PartName))
  if (unknown !== undefined)
    throw new OptionError(
      `GRAFT_BENCH_PARTS names ${JSON.stringify(unknown)}; the parts are ${all.join(', ')}.`,
    )
  return all.filter((name) => !named || named.includes(name))
}

export const serveBenchmark: Benchmark = {
  name: 'serve',
  summary: 'the engine: many experts at once, requests over time, against llama.cpp and the base',
  needs: `GRAFT_BENCH_LLAMA: a folder with node-llama-cpp 3.22.1; the model smollm2-135m-instruct. GRAFT_BENCH_PARTS: some of ${Object.keys(parts).join(', ')} (all without it, about 20 minutes)`,
  async *run(context) {
    const chosen = readParts(context)
    const compared = chosen.some((name) => name === 'together' || name === 'long')
    if (compared) context.progress('llama.cpp')
    const llama = compared ? await measureLlama(context) : { totals: [], behind: new Map() }
    const base = createSyntheticBase('q4_0')
    const model = createModel({ base, backend: await createNodeBackend() })
    const experts = Array.from({ length: 16 }, (_, i) =>
      createSyntheticAdapter(base, 'lora', undefined, { first: 1000 * i }),
    )
    const subjects = { model, experts, context }
    try {
      for (const name of chosen) yield* parts[name](subjects, llama)
    } finally {
      await model.dispose()
    }
  },
}
