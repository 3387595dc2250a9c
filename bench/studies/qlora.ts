// Compares training through a quantised base with training through f32: bytes of the weights,
// speed, validation loss after the same number of steps. The runs alternate step by step in one
// process, so that other load on the machine affects all of them alike.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Quantization, quantizations, countWeightBytes } from '../../src/graph/index.ts'
import { readDataFile } from '../../src/node/data.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { type TrainEvent, train } from '../../src/train/index.ts'
import { toSnipsDataSet, snipsSettings } from '../../src/cli/quickstart/snips.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'

const steps = 20
const source = 'smollm2-135m-instruct:q4_1'
const data = fileURLToPath(new URL('../../examples/data/snips_json', import.meta.url))

/** What a run came to. */
interface Outcome {
  readonly bytes: number
  /** Of each step after the first two, which warm up. */
  readonly milliseconds: number[]
  readonly tokens: number
  readonly validationLoss: number
}

interface Run extends Outcome {
  readonly events: AsyncGenerator<TrainEvent, void>
  validationLoss: number
  isDone: boolean
}

async function readExamples(from: number, to: number) {
  const { rows } = await readDataFile(join(data, 'train.jsonl'))
  return toSnipsDataSet(rows.slice(from, to).map(({ value }) => value))
}

async function startRun(model: LoadedModel, quantization: Quantization | undefined): Promise<Run> {
  const bytes = countWeightBytes((await model.weights(quantization && { quantization })).values())
  const events = train({
    ...snipsSettings,
    model,
    data: await readExamples(0, 400),
    validation: { data: await readExamples(400, 464), everySteps: steps },
    adapter: { kind: 'lora', config: { rank: 16, alpha: 32, targets: 'all-linear' } },
    batch: { rows: 4, tokens: 128 },
    steps,
    ...(quantization && { quantization }),
  })
  return { events, bytes, milliseconds: [], tokens: 512, validationLoss: NaN, isDone: false }
}

/** Continues to the end of the next step, or of the run. */
async function advance(run: Run): Promise<void> {
  const started = performance.now()
  for (;;) {
    const { value, done } = await run.events.next()
    if (done) return void (run.isDone = true)
    if (value.type === 'validation-end') run.validationLoss = value.loss
    if (value.type === 'step-end') {
      if (value.step > 2) run.milliseconds.push(performance.now() - started)
      return
    }
  }
}

async function measureOutcomes(
  model: LoadedModel,
  { progress }: BenchmarkContext,
): Promise<Map<Quantization | 'f32', Outcome>> {
  const runs = new Map<Quantization | 'f32', Run>([['f32', await startRun(model, undefined)]])
  for (const quantization of quantizations)
    runs.set(quantization, await startRun(model, quantization))
  for (let step = 1; [...runs.values()].some(({ isDone }) => !isDone); step++) {
    progress(`step ${Math.min(step, steps)} of ${steps}, each with ${[...runs.keys()].join(', ')}`)
    for (const run of runs.values()) if (!run.isDone) await advance(run)
  }
  return runs
}

const computeSpeeds = ({ milliseconds, tokens }: Outcome): number[] =>
  milliseconds.map((ms) => (tokens * 1000) / ms)

export const qlora: Benchmark = {
  name: 'qlora',
  summary: 'training through a base in 4 or 8 bits, against f32: memory, speed, validation loss',
  needs:
    'the real SmolLM2-135M-Instruct, from the catalogue; its reference is our own f32 training',
  async *run(context): AsyncIterable<BenchmarkRow> {
    const model = await loadModel(source)
    try {
      const all = await measureOutcomes(model, context)
      const plain = all.get('f32')!
      const reference = (values: readonly number[]) => ({ name: 'f32 base', values: [...values] })
      for (const quantization of quantizations) {
        const own = all.get(quantization)!
        const share = own.bytes / plain.bytes
        yield toBenchmarkRow({
          name: `${quantization}: base weights`,
          unit: 'MB',
          higherIsBetter: false,
          goal: 1 / (quantization === 'nf4' ? 0.16 : 0.29),
          ours: [own.bytes / 1e6],
          reference: reference([plain.bytes / 1e6]),
          note: `${share.toFixed(4)} of f32`,
        })
        yield toBenchmarkRow({
          name: `${quantization}: training 4 × 128`,
          unit: 'tokens/s',
          higherIsBetter: true,
          goal: 0.85,
          ours: computeSpeeds(own),
          reference: reference(computeSpeeds(plain)),
        })
        yield toBenchmarkRow({
          name: `${quantization}: validation loss after ${steps} steps`,
          unit: 'nats',
          higherIsBetter: false,
          goal: 1 / 1.02,
          ours: [own.validationLoss],
          reference: reference([plain.validationLoss]),
        })
      }
    } finally {
      await model.dispose()
    }
  },
}
