// The server compared with its engine without HTTP: SmolLM2-135M-Instruct, 256 + 64 tokens per
// request, and stories260k for HTTP alone.

import { loadModel } from '../../../node/index.ts'
import { createEngine, type Engine } from '../../../runtime/index.ts'
import { toBenchmarkRow, type Benchmark, type BenchmarkRow } from '../benchmark.ts'
import { createFreshPrompt, newTokens, promptTokens } from '../serve/serve-cases.ts'
import { createClientAgent, selectQuantile, requestTimed } from './http-client.ts'
import { measureIdleConnections, measureHealth, runClosedLoop, runStreams } from './load-cases.ts'
import { startServedProcess } from './served-process.ts'

const rounds = 3
const streams = 10
const createPrompts = (): number[][] => Array.from({ length: streams }, () => createFreshPrompt())

/** Prompt and new tokens per second of ten streams; `work` runs them. */
async function measureSpeed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return (streams * (promptTokens + newTokens) * 1000) / (performance.now() - startedAt)
}

async function readStream(engine: Engine, prompt: readonly number[]): Promise<void> {
  const length = { maxTokens: newTokens, minTokens: newTokens }
  for await (const _ of engine.generate(Object.assign({ prompt, temperature: 0 }, length)));
}

/**
 * Ten streams through HTTP and without it, alternating; health is probed during those through HTTP.
 */
async function* compareWithEngine(name: string): AsyncGenerator<BenchmarkRow> {
  const model = await loadModel(name)
  const engine = createEngine({ model })
  const server = await startServedProcess(name)
  const through: number[] = []
  const without: number[] = []
  const health: number[] = []
  try {
    for (let round = 0; round <= rounds; round++) {
      const direct = await measureSpeed(() =>
        Promise.all(createPrompts().map((prompt) => readStream(engine, prompt))),
      )
      const served = await measureSpeed(() => runStreams(server.url, createPrompts(), newTokens))
      if (round === 0) continue // compiles
      without.push(direct)
      through.push(served)
    }
    for (let round = 0; round < rounds; round++)
      health.push(
        ...(await measureHealth(server.url, runStreams(server.url, createPrompts(), newTokens))),
      )
  } finally {
    await server.stop()
    await model.dispose()
  }
  yield toBenchmarkRow({
    name: '10 streams through HTTP, to the engine without it',
    unit: 'tokens/s',
    higherIsBetter: true,
    goal: 0.95,
    ours: through,
    reference: { name: 'engine, same run', values: without },
  })
  yield toBenchmarkRow({
    name: '/healthz during 10 streams, p99 (aim: 20)',
    unit: 'ms',
    higherIsBetter: false,
    ours: [selectQuantile(health, 0.99)],
    note: `${health.length} probes, median ${selectQuantile(health, 0.5).toFixed(1)} ms`,
  })
}

async function* measureConnections(): AsyncGenerator<BenchmarkRow> {
  const server = await startServedProcess('stories260k')
  try {
    const bytes = await measureIdleConnections(server.url, 1000)
    yield toBenchmarkRow({
      name: '1,000 idle connections (aim: 50)',
      unit: 'MB',
      higherIsBetter: false,
      ours: [bytes / 1e6],
    })
  } finally {
    await server.stop()
  }
}

async function* measureManyClients(): AsyncGenerator<BenchmarkRow> {
  for (const most of [256, 64]) {
    const limits = ['--max-rows', '16', '--max-requests', String(most)]
    const server = await startServedProcess('stories260k', limits)
    try {
      const loop = { clients: 200, each: 3, tokens: 16 }
      const { answered, refused, lost, waitingMs } = await runClosedLoop(server.url, loop)
      const figures = { answered, refused, lost: lost.length }
      yield toBenchmarkRow({
        name: `200 clients, 16 rows, ${most} requests at most: waiting, p99`,
        unit: 'ms',
        higherIsBetter: false,
        ours: [selectQuantile(waitingMs, 0.99)],
        note: `${answered} answered, ${refused} refused and asked again, ${lost.length} lost`,
        figures,
      })
    } finally {
      await server.stop()
    }
  }
}

async function* measureStart(): AsyncGenerator<BenchmarkRow> {
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    const server = await startServedProcess('stories260k')
    const agent = createClientAgent()
    const body = { prompt: 'Once', max_tokens: 4, stream: true }
    const { firstMs } = await requestTimed(`${server.url}/v1/completions`, { agent, body })
    agent.destroy()
    times.push((server.startMs + firstMs) / 1000)
    await server.stop()
  }
  yield toBenchmarkRow({
    name: 'start to first token, stories260k (aim: 1.5)',
    unit: 'seconds',
    higherIsBetter: false,
    ours: times,
  })
}

export const serveHttpBenchmark: Benchmark = {
  name: 'serve-http',
  summary: 'the server: HTTP against the engine without it, health under load, many clients, start',
  needs: 'the model smollm2-135m-instruct',
  async *run({ progress }) {
    progress('start to first token')
    yield* measureStart()
    progress('1,000 idle connections')
    yield* measureConnections()
    progress('200 clients')
    yield* measureManyClients()
    progress('10 streams through HTTP and without it')
    yield* compareWithEngine('smollm2-135m-instruct')
  },
}
