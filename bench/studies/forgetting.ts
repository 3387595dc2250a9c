// Trains four tasks in a row on one adapter, with and without EWC, and measures how much of the
// earlier tasks is lost and how well the last one is learned. Three seeds; both arms share the run
// of the first task. Losses are means over the scored tokens of 50 held-out rows a task, in nats.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Adapter } from '../../src/adapters/index.ts'
import { readDataFile } from '../../src/node/data.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { encodeData } from '../../src/train/data/encode.ts'
import { type RawDataset, createRawDataset } from '../../src/train/data/jsonl.ts'
import type { EwcState } from '../../src/train/ewc/state.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'
import { buildBatches, planEpoch, countSharedPrefix } from '../../src/train/batches/packing.ts'
import { train } from '../../src/train/index.ts'
import { stringifyJson } from '../../src/cli/quickstart/snips.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'

const folder = fileURLToPath(new URL('../../examples/data', import.meta.url))
const seeds = [0, 1, 2]
const steps = 24
const heldRows = 50
const batchSize = { rows: 2, tokens: 256 }

type Row = Readonly<Record<string, unknown>>
type Loss = (task: Task, adapter: Adapter) => Promise<number>

interface Task {
  readonly name: string
  readonly system: string
  readonly pair: (row: Row) => { prompt: unknown; completion: string }
}

const tasks: readonly Task[] = [
  {
    name: 'snips_json',
    system: 'Intent and slots as JSON.',
    pair: ({ text, json }) => ({ prompt: text, completion: stringifyJson(json) }),
  },
  {
    name: 'wikisql',
    system: 'SQL for the table t.',
    pair: ({ question, sql }) => ({ prompt: question, completion: String(sql) }),
  },
  {
    name: 'text2cypher',
    system: 'Cypher query.',
    pair: ({ question, cypher }) => ({ prompt: question, completion: String(cypher) }),
  },
  {
    name: 'trec',
    system: 'Type of the question.',
    pair: ({ text, label, fine }) => ({
      prompt: text,
      completion: `${String(label)}:${String(fine)}`,
    }),
  },
]

async function readTaskData(
  { name, pair }: Task,
  part: 'train' | 'test',
  count: number,
): Promise<RawDataset> {
  const { rows } = await readDataFile(join(folder, name, `${part}.jsonl`))
  return createRawDataset(
    rows.slice(0, count).map(({ value }) => pair(value as Row)),
    name,
  )
}

/** The held-out loss of an adapter on a task, by one program for all adapters of the shape. */
async function createLossMeter(
  { base, backend, weights }: LoadedModel,
  shape: Adapter,
): Promise<{ loss: Loss; dispose: () => Promise<void> }> {
  const program = await createGradientProgram({
    graph: base.graph,
    weights: await weights(),
    backend,
    adapter: shape,
    trainable: [],
  })
  const loss: Loss = async (task, { tensors }) => {
    const { tokenizer, chatTemplate } = base
    const options = {
      tokenizer: tokenizer!,
      chatTemplate: chatTemplate!,
      system: task.system,
      maxTokens: batchSize.tokens,
    }
    const { rows } = encodeData(await readTaskData(task, 'test', heldRows), options)
    const held = { rows, shared: countSharedPrefix(rows) }
    let sum = 0
    for (const batch of buildBatches(
      held,
      planEpoch(rows, { ...batchSize, packing: true, shared: held.shared, seed: 0, epoch: 0 }),
    ))
      sum += await program.loss(batch, tensors)
    return sum
  }
  return { loss, dispose: () => program.dispose() }
}

interface TrainedTask {
  readonly adapter: Adapter
  readonly ewc?: EwcState
}

async function trainTask(
  model: LoadedModel,
  task: Task,
  before: TrainedTask | undefined,
  seed: number,
  protects: boolean,
): Promise<TrainedTask> {
  const events = train({
    model,
    seed,
    steps,
    batch: batchSize,
    learningRate: 1e-3,
    system: task.system,
    data: await readTaskData(task, 'train', 300),
    adapter: before?.adapter ?? {
      kind: 'lora',
      config: { rank: 16, alpha: 32, targets: 'all-linear' },
    },
    ...(protects && { ewc: before?.ewc ? { state: before.ewc } : {} }),
  })
  for await (const event of events)
    if (event.type === 'train-end')
      return { adapter: event.adapter, ...(event.ewc && { ewc: event.ewc }) }
  throw new Error('Training ended without a result.') // `train` ends with train-end or throws
}

interface Outcome {
  /** Mean rise of an earlier task's loss from right after it was learned to the end. */
  readonly forgetting: number
  /** Loss of the last task. */
  readonly final: number
  /** Mean loss of all tasks at the end. */
  readonly mean: number
}

const computeMean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

async function runSequence(
  model: LoadedModel,
  start: TrainedTask,
  loss: Loss,
  seed: number,
  tell: (text: string) => void,
): Promise<Outcome> {
  let learned = start
  const fresh: number[] = [await loss(tasks[0]!, start.adapter)]
  for (const task of tasks.slice(1)) {
    tell(`seed ${seed}, ${start.ewc ? 'EWC' : 'plain'}: ${task.name}`)
    learned = await trainTask(model, task, learned, seed, start.ewc !== undefined)
    fresh.push(await loss(task, learned.adapter))
  }
  const last: number[] = []
  for (const task of tasks) last.push(await loss(task, learned.adapter))
  const rises = last.slice(0, -1).map((value, i) => value - fresh[i]!)
  return { forgetting: computeMean(rises), final: last.at(-1)!, mean: computeMean(last) }
}

async function measureOutcomes(
  model: LoadedModel,
  { progress }: BenchmarkContext,
): Promise<{ plain: Outcome[]; ewc: Outcome[] }> {
  const result = { plain: [] as Outcome[], ewc: [] as Outcome[] }
  for (const seed of seeds) {
    progress(`seed ${seed}: ${tasks[0]!.name}`)
    const first = await trainTask(model, tasks[0]!, undefined, seed, true)
    const meter = await createLossMeter(model, first.adapter)
    result.plain.push(
      await runSequence(model, { adapter: first.adapter }, meter.loss, seed, progress),
    )
    result.ewc.push(await runSequence(model, first, meter.loss, seed, progress))
    await meter.dispose()
  }
  return result
}

export const forgetting: Benchmark = {
  name: 'forgetting',
  summary:
    'four tasks in a row on one adapter, with EWC beside plain training: what is lost of the earlier ones',
  needs:
    'the real SmolLM2-135M-Instruct, from the catalogue; its reference is our own plain training',
  async *run(context): AsyncIterable<BenchmarkRow> {
    const model = await loadModel('smollm2-135m-instruct')
    try {
      const { plain, ewc } = await measureOutcomes(model, context)
      const compared = (name: string, of: keyof Outcome, goal?: number): BenchmarkRow =>
        toBenchmarkRow({
          name,
          unit: 'nats',
          higherIsBetter: false,
          ...(goal !== undefined && { goal }),
          ours: ewc.map((outcome) => outcome[of]),
          reference: { name: 'plain', values: plain.map((outcome) => outcome[of]) },
          note: `by seed ${ewc.map((outcome, i) => `${outcome[of].toFixed(3)} to ${plain[i]![of].toFixed(3)}`).join(', ')}`,
        })
      yield compared('forgetting, mean of three tasks', 'forgetting', 1 / 0.6)
      yield compared('loss of the last task', 'final', 1)
      yield compared('loss of all four at the end', 'mean')
    } finally {
      await model.dispose()
    }
  },
}
