// The four tasks that the study `forgetting` teaches in a row, their rows, and the held-out loss of an
// adapter on each: a mean over the scored tokens of 50 rows, in nats.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Adapter } from '../../src/adapters/index.ts'
import { stringifyJson } from '../../src/cli/quickstart/snips.ts'
import { readDataFile } from '../../src/node/data.ts'
import type { LoadedModel } from '../../src/node/index.ts'
import { buildBatches, countSharedPrefix, planEpoch } from '../../src/train/batches/packing.ts'
import { encodeData, type EncodedSequence } from '../../src/train/data/encode.ts'
import { type RawDataset, createRawDataset } from '../../src/train/data/jsonl.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'

const folder = fileURLToPath(new URL('../../examples/data', import.meta.url))
const trainRows = 300
const heldRows = 50
export const batchSize = { rows: 2, tokens: 256 }

type Row = Readonly<Record<string, unknown>>

export interface Task {
  readonly name: string
  readonly system: string
  readonly pair: (row: Row) => { prompt: unknown; completion: string }
}

export const tasks: readonly Task[] = [
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

export const readTrainData = (task: Task): Promise<RawDataset> =>
  readTaskData(task, 'train', trainRows)

/** Token ids of a task's rows, as training encodes them. */
function encodeRows({ base }: LoadedModel, task: Task, data: RawDataset): EncodedSequence[] {
  const { tokenizer, chatTemplate } = base
  return [
    ...encodeData(data, {
      tokenizer: tokenizer!,
      chatTemplate: chatTemplate!,
      system: task.system,
      maxTokens: batchSize.tokens,
    }).rows,
  ]
}

export const readTrainRows = async (model: LoadedModel, task: Task): Promise<EncodedSequence[]> =>
  encodeRows(model, task, await readTrainData(task))

export interface LossMeter {
  readonly measure: (task: Task, adapter: Adapter) => Promise<number>
  readonly dispose: () => Promise<void>
}

/** One program for all adapters of the shape. */
export async function createLossMeter(model: LoadedModel, shape: Adapter): Promise<LossMeter> {
  const program = await createGradientProgram({
    graph: model.base.graph,
    weights: await model.weights(),
    backend: model.backend,
    adapter: shape,
    trainable: [],
  })
  const measure: LossMeter['measure'] = async (task, { tensors }) => {
    const rows = encodeRows(model, task, await readTaskData(task, 'test', heldRows))
    const held = { rows, shared: countSharedPrefix(rows) }
    let sum = 0
    for (const batch of buildBatches(
      held,
      planEpoch(rows, { ...batchSize, packing: true, shared: held.shared, seed: 0, epoch: 0 }),
    ))
      sum += await program.loss(batch, tensors)
    return sum
  }
  return { measure, dispose: () => program.dispose() }
}
