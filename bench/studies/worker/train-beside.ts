// The cost of a training job for concurrent requests: time between tokens and from end to end,
// alone and during a job, alternating in one run; and the job's speed.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import {
  type EngineWorker,
  openEngineWorker,
  planShare,
  type TrainJob,
  type TrainShare,
} from '../../../src/node/index.ts'

const clients = 2
const newTokens = 32
/** At most 1.4 times as long. */
const goal = 1 / 1.4

interface Load {
  /** Milliseconds between two tokens of an answer, of all answers. */
  readonly gaps: number[]
  /** Milliseconds from a request to its last token. */
  readonly answers: number[]
  tokens: number
  seconds: number
}

const createLoad = (): Load => ({ gaps: [], answers: [], tokens: 0, seconds: 0 })

/** The value below which 95 of 100 lie. */
function computeP95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))]!
}

let salt = 0
const createPrompt = (): number[] =>
  Array.from({ length: 48 }, (_, i) => 100 + ((i * 37 + ++salt * 101) % 200))

async function measureAnswer(engine: EngineWorker, load: Load): Promise<void> {
  const started = performance.now()
  let last = 0
  const length = { maxTokens: newTokens, minTokens: newTokens, cache: false }
  for await (const _ of engine.generate({ prompt: createPrompt(), logprobs: 0, ...length })) {
    const now = performance.now()
    if (last > 0) load.gaps.push(now - last)
    last = now
    load.tokens++
  }
  load.answers.push(performance.now() - started)
}

/** Clients that ask one request after the other. */
async function serve(engine: EngineWorker, seconds: number, load: Load): Promise<void> {
  const started = performance.now()
  const end = started + seconds * 1000
  const ask = async (): Promise<void> => {
    while (performance.now() < end) await measureAnswer(engine, load)
  }
  await Promise.all(Array.from({ length: clients }, ask))
  load.seconds += (performance.now() - started) / 1000
}

const createRows = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    prompt: `Question ${i}: what is ${i} plus ${i + 1}, and why does it matter to anybody at all?`,
    completion: ` It is ${2 * i + 1}, because ${i} and one more than ${i} make ${2 * i + 1} together.`,
  }))

/** Steps of the job so far. */
const countSteps = ({ latest }: TrainJob): number => (latest?.type === 'step-end' ? latest.step : 0)

async function waitForStep(job: TrainJob): Promise<void> {
  for await (const { type } of job.events()) if (type === 'step-end') return
}

interface Comparison {
  readonly alone: Load
  readonly beside: Load
  /** Steps a second, during requests and alone. */
  readonly steps: { readonly beside: number[]; readonly alone: number[] }
}

async function compareLoads(
  engine: EngineWorker,
  share: TrainShare,
  seconds: number,
  context: BenchmarkContext,
): Promise<Comparison> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-beside-'))
  const alone = createLoad()
  const beside = createLoad()
  const steps: Comparison['steps'] = { beside: [], alone: [] }
  try {
    await serve(engine, 2, createLoad()) // compiles
    context.progress(`${share}: requests alone`)
    await serve(engine, seconds / 2, alone)
    context.progress(`${share}: the job begins`)
    const options = { data: createRows(400), epochs: 100, out: join(folder, 'a') }
    const job = await engine.train(options, { name: 'a', share })
    await waitForStep(job)
    context.progress(`${share}: requests during the job`)
    const first = countSteps(job)
    await serve(engine, seconds, beside)
    steps.beside.push((countSteps(job) - first) / beside.seconds)
    context.progress(`${share}: the job alone`)
    const second = countSteps(job)
    await new Promise((resolve) => setTimeout(resolve, (seconds * 1000) / 2))
    steps.alone.push((countSteps(job) - second) / (seconds / 2))
    await job.cancel()
    context.progress(`${share}: requests alone again`)
    await serve(engine, seconds / 2, alone)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return { alone, beside, steps }
}

function* describeComparison(share: TrainShare, compared: Comparison): Generator<BenchmarkRow> {
  const { alone, beside, steps } = compared
  for (const [what, key] of [
    ['between tokens', 'gaps'],
    ['from end to end', 'answers'],
  ] as const)
    yield toBenchmarkRow({
      name: `p95 ${what}, during a job (${share})`,
      unit: 'ms',
      higherIsBetter: false,
      goal,
      ours: [computeP95(beside[key])],
      reference: { name: 'no job', values: [computeP95(alone[key])] },
    })
  yield toBenchmarkRow({
    name: `requests during a job (${share})`,
    unit: 'tokens/s',
    higherIsBetter: true,
    ours: [beside.tokens / beside.seconds],
    reference: { name: 'no job', values: [alone.tokens / alone.seconds] },
  })
  yield toBenchmarkRow({
    name: `the job during requests (${share})`,
    unit: 'steps/s',
    higherIsBetter: true,
    ours: steps.beside,
    reference: { name: 'no requests', values: steps.alone },
  })
}

export const trainBesideStudy: Benchmark = {
  name: 'train-beside',
  summary: 'requests during a training job, in the background and with half of the threads',
  needs:
    'GRAFT_BENCH_BESIDE_MODEL: a path or name, else smollm2-135m-instruct; GRAFT_BENCH_BESIDE_SECONDS of each phase, else 20; GRAFT_BENCH_BESIDE_SHARES, else background,half',
  async *run(context) {
    const { environment } = context
    const model = environment['GRAFT_BENCH_BESIDE_MODEL'] ?? 'smollm2-135m-instruct'
    const seconds = Number(environment['GRAFT_BENCH_BESIDE_SECONDS'] ?? 20)
    const shares = (environment['GRAFT_BENCH_BESIDE_SHARES'] ?? 'background,half').split(',')
    for (const share of shares as TrainShare[]) {
      const engine = await openEngineWorker({ model, threads: planShare(share).engine })
      try {
        yield* describeComparison(share, await compareLoads(engine, share, seconds, context))
      } finally {
        await engine.dispose()
      }
    }
  },
}
