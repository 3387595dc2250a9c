// What each kind of adapter costs and brings, on the same rows, steps and seed: validation loss
// before and after 60 steps on snips_json, bytes, training time, and the first token after a
// switch between base and expert. GRAFT_BENCH_KINDS names some: "lora,ia3+prompt-tuning".

import { fileURLToPath } from 'node:url'
import { type Adapter } from '../../src/adapters/index.ts'
import { type Benchmark, type BenchmarkRow, toBenchmarkRow } from '../../src/cli/bench/benchmark.ts'
import { toSnipsDataSet, snipsSystem } from '../../src/cli/quickstart/snips.ts'
import { readDataFile } from '../../src/node/data.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { train } from '../../src/train/run/train.ts'

const steps = 60
const rounds = 15
const longestRow = 170 // characters: short rows, so that a step sees five of them
const data = fileURLToPath(new URL('../../examples/data/snips_json/train.jsonl', import.meta.url))

const matrices = { rank: 16, targets: 'all-linear' }
const forms: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  lora: matrices,
  dora: matrices,
  lokr: { targets: 'all-linear' },
  ia3: {},
  'prompt-tuning': {},
  'ia3+prompt-tuning': {},
}

const sumBytes = (adapter: Adapter): number =>
  [...adapter.tensors.values()].reduce((sum, { data: values }) => sum + values.byteLength, 0)

const takeMedian = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

async function trainKind(model: LoadedModel, name: string) {
  const rows = (await readDataFile(data)).rows
    .map(({ value }) => value)
    .filter((value) => JSON.stringify(value).length < longestRow)
  const kinds = name.split('+')
  const started = performance.now()
  const { adapter, last } = await train({
    model,
    steps,
    system: snipsSystem,
    batch: { rows: 1, tokens: 160 },
    data: toSnipsDataSet(rows.slice(0, 240)),
    validation: { data: toSnipsDataSet(rows.slice(300, 330)), everySteps: steps },
    adapter: { kind: kinds.length > 1 ? kinds : name, config: forms[name] ?? {} },
  } as Parameters<typeof train>[0]).done
  return { adapter, loss: last.loss, seconds: (performance.now() - started) / 1000 }
}

/**
 * Milliseconds to the first token right after the other one answered: of the expert, of the base.
 */
async function measureSwitch(model: LoadedModel, adapter: Adapter): Promise<[number, number]> {
  await model.prepare(adapter)
  const times: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++)
    for (const side of [0, 1] as const) {
      const started = performance.now()
      const chosen = side === 0 ? { adapter } : {}
      await model.complete(`Request ${round}: play`, { ...chosen, maxTokens: 1 })
      times[side].push(performance.now() - started)
    }
  return [takeMedian(times[0]), takeMedian(times[1])]
}

export const kindsStudy: Benchmark = {
  name: 'kinds',
  summary: 'every kind of adapter on the same rows and steps: loss, bytes, training time, switch',
  needs: 'no reference; five minutes. GRAFT_BENCH_KINDS: some kinds, "lora,ia3+prompt-tuning"',
  async *run({ environment, progress }): AsyncIterable<BenchmarkRow> {
    const model = await loadModel('smollm2-135m-instruct:q4_1')
    try {
      for (const name of environment['GRAFT_BENCH_KINDS']?.split(',') ?? Object.keys(forms)) {
        progress(name)
        const { adapter, loss, seconds } = await trainKind(model, name)
        const [expert, base] = await measureSwitch(model, adapter)
        yield toBenchmarkRow({
          name: `${name}: loss after ${steps} steps`,
          unit: 'nats',
          higherIsBetter: false,
          ours: [loss],
          note: `${(sumBytes(adapter) / 1e6).toFixed(3)} MB in f32, ${seconds.toFixed(0)} s of training; first token after a switch ${expert.toFixed(1)} ms, of the base ${base.toFixed(1)} ms`,
        })
      }
    } finally {
      await model.dispose()
    }
  },
}
