// Measures what the default learning rates are chosen by: the validation loss of each kind of
// adapter after a short run on snips_json at its default rate, a third of it and three times it;
// and of each optimiser on LoRA. GRAFT_BENCH_RATES names other runs:
// "ia3:adamw:0.1,lora:lion:3e-4".

import { fileURLToPath } from 'node:url'
import { adapterKinds } from '../../src/adapters/index.ts'
import { readDataFile } from '../../src/node/data.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { getDefaultLearningRate } from '../../src/train/options/default-rates.ts'
import { optimizers } from '../../src/train/optimizers/optimizer-table.ts'
import { train } from '../../src/train/run/train.ts'
import { toSnipsDataSet, snipsSystem } from '../../src/cli/quickstart/snips.ts'
import { type Benchmark, type BenchmarkRow, toBenchmarkRow } from '../../src/cli/bench/benchmark.ts'

const steps = 60
const longestRow = 170 // characters: short rows, so that a step sees five of them
const data = fileURLToPath(new URL('../../examples/data/snips_json/train.jsonl', import.meta.url))

interface Run {
  readonly kind: string
  readonly optimizer: string
  readonly learningRate: number
}

/** The command line's defaults of each kind. */
const configs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  ...Object.fromEntries(
    ['lora', 'dora', 'pissa', 'olora'].map((kind) => [kind, { rank: 16, targets: 'all-linear' }]),
  ),
  ...Object.fromEntries(['lokr', 'loha', 'vera'].map((kind) => [kind, { targets: 'all-linear' }])),
}

async function measureValidationLoss(
  model: LoadedModel,
  { kind, ...settings }: Run,
): Promise<number> {
  const rows = (await readDataFile(data)).rows
    .map(({ value }) => value)
    .filter((value) => JSON.stringify(value).length < longestRow)
  const events = train({
    ...settings,
    model,
    steps,
    system: snipsSystem,
    batch: { rows: 1, tokens: 160 },
    data: toSnipsDataSet(rows.slice(0, 240)),
    validation: { data: toSnipsDataSet(rows.slice(300, 330)), everySteps: steps },
    adapter: { kind, config: configs[kind] ?? {} },
  })
  for await (const event of events) if (event.type === 'train-end') return event.last.loss
  throw new Error('internal: training ended without its last event')
}

function listDefaultRuns(): Run[] {
  const around = (kind: string, optimizer: string): Run[] =>
    [1 / 3, 1, 3].map((factor) => ({
      kind,
      optimizer,
      learningRate: Number((factor * getDefaultLearningRate(kind, optimizer)).toPrecision(1)),
    }))
  const others = [...optimizers.keys()].filter((name) => name !== 'adamw')
  return [
    ...[...adapterKinds.keys()].flatMap((kind) => around(kind, 'adamw')),
    ...others.flatMap((name) => around('lora', name)),
  ]
}

function parseRuns(text: string): Run[] {
  return text.split(',').map((part) => {
    const [kind = '', optimizer = '', learningRate = ''] = part.split(':')
    return { kind, optimizer, learningRate: Number(learningRate) }
  })
}

export const rates: Benchmark = {
  name: 'rates',
  summary:
    'validation loss by kind, optimiser and learning rate after 60 short steps of SmolLM2-135M',
  needs:
    'no reference; half an hour. GRAFT_BENCH_RATES: other runs, "ia3:adamw:0.1,lora:lion:3e-4"',
  async *run({ environment, progress }): AsyncIterable<BenchmarkRow> {
    const asked = environment['GRAFT_BENCH_RATES']
    const model = await loadModel('smollm2-135m-instruct:q4_1')
    try {
      for (const run of asked ? parseRuns(asked) : listDefaultRuns()) {
        const name = `${run.kind}, ${run.optimizer}, ${run.learningRate}`
        progress(name)
        yield toBenchmarkRow({
          name,
          unit: 'nats',
          higherIsBetter: false,
          ours: [await measureValidationLoss(model, run)],
        })
      }
    } finally {
      await model.dispose()
    }
  },
}
