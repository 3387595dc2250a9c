// What a worker costs: milliseconds a token and to the first token, of an engine in this thread, in
// a worker thread and in a process, alternating over the same requests.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import { createEngine, loadModel, openEngineWorker, openWorker } from '../../../src/node/index.ts'
import { createEngineClient, type EngineClient } from '../../../src/runtime/index.ts'

import type { MessageSender } from './worker-messages.ts'

interface Place {
  readonly name: string
  readonly engine: EngineClient
  close(): Promise<void>
}

interface Times {
  /** Milliseconds a token of all rows together, after the first tokens. */
  readonly perToken: number[]
  readonly firstToken: number[]
}

const newTokens = 48
const promptTokens = 64
const rounds = 7
/** As good as the same: a worker may take 3 % longer. */
const goal = 0.97

async function openPlaces(source: string): Promise<Place[]> {
  const model = await loadModel(source)
  const thread = await openEngineWorker({ model: source })
  const child = await openEngineWorker({ model: source, isolation: 'process' })
  return [
    {
      name: 'this thread',
      engine: createEngineClient({ model, engine: createEngine({ model }) }),
      close: () => model.dispose(),
    },
    { name: 'a worker thread', engine: thread, close: () => thread.dispose() },
    { name: 'a process', engine: child, close: () => child.dispose() },
  ]
}

let salt = 0
const createPrompt = (): number[] =>
  Array.from({ length: promptTokens }, (_, i) => 100 + ((i * 37 + ++salt * 101) % 200))

/** Reads one answer; returns when its first and its last event came. */
async function readTimes(engine: EngineClient): Promise<{ first: number; last: number }> {
  let first = 0
  const length = { maxTokens: newTokens, minTokens: newTokens, cache: false }
  for await (const _ of engine.generate({ prompt: createPrompt(), logprobs: 0, ...length }))
    if (first === 0) first = performance.now()
  return { first, last: performance.now() }
}

async function measureRound(engine: EngineClient, rows: number, times: Times): Promise<void> {
  const started = performance.now()
  const read = await Promise.all(Array.from({ length: rows }, () => readTimes(engine)))
  const first = Math.max(...read.map((one) => one.first))
  const last = Math.max(...read.map((one) => one.last))
  times.perToken.push((last - first) / (newTokens - 1))
  times.firstToken.push(first - started)
}

async function* comparePlaces(
  places: readonly Place[],
  rows: number,
  context: BenchmarkContext,
): AsyncGenerator<BenchmarkRow> {
  const times = places.map((): Times => ({ perToken: [], firstToken: [] }))
  for (let round = 0; round <= rounds; round++) {
    context.progress(`${rows} rows, round ${round} of ${rounds}`)
    const order = round % 2 === 0 ? [...places.keys()] : [...places.keys()].reverse()
    for (const i of order) await measureRound(places[i]!.engine, rows, times[i]!)
    if (round === 0) for (const one of times) [one.perToken, one.firstToken].forEach((t) => t.pop())
  }
  for (const [what, key] of [
    ['a step', 'perToken'],
    ['to the first token', 'firstToken'],
  ] as const)
    for (const [i, { name }] of places.entries()) {
      if (i === 0) continue
      yield toBenchmarkRow({
        name: `${rows} rows, ${what}, ${name}`,
        unit: 'ms',
        higherIsBetter: false,
        ours: times[i]![key],
        reference: { name: places[0]!.name, values: times[0]![key] },
        ...(key === 'perToken' && i === 1 && { goal }),
      })
    }
}

/** Microseconds that the sender's thread needs for a token's message: what delays a step. */
async function measureMessages(isolation: 'thread' | 'process'): Promise<BenchmarkRow> {
  const worker = await openWorker<MessageSender>({
    module: new URL('./worker-messages.ts', import.meta.url),
    factory: 'createMessageSender',
    sequences: ['generateEvents'],
    isolation,
  })
  const count = 20_000
  const microseconds: number[] = []
  for (let round = 0; round <= rounds; round++)
    for await (const value of worker.object.generateEvents(count))
      if (typeof value === 'number' && round > 0) microseconds.push((value * 1000) / count)
  await worker.close()
  const name = `a token's message, sender in a ${isolation}`
  return toBenchmarkRow({ name, unit: 'µs', higherIsBetter: false, ours: microseconds })
}

export const workerStudy: Benchmark = {
  name: 'worker',
  summary: 'an engine in a worker thread and in a process, against one in this thread',
  needs: 'GRAFT_BENCH_WORKER_MODEL: a path or name; else smollm2-135m-instruct',
  async *run(context) {
    for (const isolation of ['thread', 'process'] as const) yield await measureMessages(isolation)
    const source = context.environment['GRAFT_BENCH_WORKER_MODEL'] ?? 'smollm2-135m-instruct'
    const places = await openPlaces(source)
    try {
      for (const rows of [1, 8]) yield* comparePlaces(places, rows, context)
    } finally {
      for (const place of places) await place.close()
    }
  },
}
