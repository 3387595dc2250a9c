// The process of a training job: checks its options, trains, and evaluates what was trained. Run by
// trainer.ts.

import type { Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import { evaluate, metrics } from '../../eval/index.ts'
import type { TrainPlan } from '../../train/estimate/estimate.ts'
import type { TrainEvent } from '../../train/events.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { toRows } from '../../train/options/train-data.ts'
import { loadAdapter } from '../adapters.ts'
import { type DataInput, openData, readHeldRows } from '../data.ts'
import { loadModel } from '../model.ts'
import { planTraining } from '../plan-training.ts'
import { checkOutFolder } from '../run-folder.ts'
import { train } from '../train.ts'
import type { TrainFilesOptions } from '../train-files.ts'
import type { WorkerObject } from '../worker/run-worker-task.ts'
import type { GateReport } from './train-gate.ts'

/** What a process needs to know; sent as one message. */
export interface TrainTask {
  readonly name: string
  readonly options: TrainFilesOptions & { readonly model: string; readonly out: string }
  /** Held-out rows, where they are not those of the run's validation. */
  readonly evaluation: DataInput | undefined
  /** The expert that is served under this name now. */
  readonly current: Expert | string | undefined
}

type TrainEnd = Extract<TrainEvent, { type: 'train-end' }>

/** The events of a job: those of training, without tensors, and what the process does around it. */
export type TrainJobEvent =
  | Exclude<TrainEvent, TrainEnd>
  | {
      readonly type: 'train-end'
      readonly reason: TrainEnd['reason']
      readonly best: { readonly step: number; readonly loss: number }
    }
  /** The number of the process that trains. */
  | { readonly type: 'process-started'; readonly pid: number }
  | { readonly type: 'evaluation-start'; readonly rows: number }
  | { readonly type: 'evaluation-end'; readonly report: GateReport }
  /** The process ended, and another one continues from its checkpoint. */
  | { readonly type: 'job-resumed'; readonly reason: string }

export interface TrainProcess {
  /** Reads model and data, and refuses them as training would. Nothing is written. */
  plan(task: TrainTask): Promise<TrainPlan>
  run(task: TrainTask): AsyncGenerator<TrainJobEvent, void, void>
}

export function openTrainProcess(): WorkerObject {
  const object: TrainProcess = { plan: planTask, run: runTask }
  return { object }
}

async function planTask(task: TrainTask): Promise<TrainPlan> {
  const { options } = task
  await checkOutFolder(options.out, options)
  const plan = await planTraining(options)
  await readEvaluation(task)
  return plan
}

async function* runTask(task: TrainTask): AsyncGenerator<TrainJobEvent, void, void> {
  yield { type: 'process-started', pid: process.pid }
  for await (const event of train(task.options)) {
    if (event.type !== 'train-end') {
      yield event
      continue
    }
    const { reason, best } = event
    yield { type: 'train-end', reason, best: { step: best.step, loss: best.loss } }
    if (reason === 'stopped') return
  }
  yield* evaluateTask(task)
}

/** The rows of the evaluation. Throws OptionError if there are no rows of text. */
async function readEvaluation({ name, options, evaluation }: TrainTask): Promise<RawDataset> {
  const { data, validation, seed = 0 } = options
  const rows =
    evaluation === undefined
      ? await readHeldRows(data, validation, seed)
      : toRows(await openData(evaluation))
  if (rows && !('examples' in rows)) return rows
  throw new OptionError(
    `${name}: it is evaluated on rows of text that it does not learn from; give evaluation, or validation with data of text.`,
  )
}

async function* evaluateTask(task: TrainTask): AsyncGenerator<TrainJobEvent, void, void> {
  const { name, options, current } = task
  const { system, date, maxTokens, signal } = options
  const data = await readEvaluation(task)
  yield { type: 'evaluation-start', rows: data.rows.length }
  const model = await loadModel(options.model)
  try {
    const trained = await loadAdapter(options.out, { model })
    const serving = typeof current === 'string' ? await loadAdapter(current, { model }) : current
    const base = { name: 'the base', adapter: undefined, system }
    const reference = serving ? { name: 'what serves', adapter: serving, system } : base
    const { losses, metricResults, rows } = await evaluate({
      model,
      data,
      metrics: [metrics.get('perplexity')!],
      // Each is compared with the first.
      candidates: [reference, { name, adapter: trained, system }, ...(serving ? [base] : [])],
      ...(maxTokens !== undefined && { maxTokens }),
      ...(date && { date }),
      ...(signal && { signal }),
    })
    const [before, after, bare = before] = losses.map(({ loss }) => loss) as [number, number]
    const report = {
      name,
      rows,
      loss: after,
      baseLoss: bare,
      currentLoss: serving ? before : undefined,
      difference: metricResults[0]!.results[1]!.difference,
    }
    yield { type: 'evaluation-end', report }
  } finally {
    await model.dispose()
  }
}
