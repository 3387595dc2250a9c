// Trains the next version of an expert from feedback, and evaluates it before any user gets it, on
// held-out prompts and on canaries. Publishes nothing.

import { rm } from 'node:fs/promises'
import { evaluate, metrics } from '../../eval/index.ts'
import type { Difference } from '../../eval/estimate.ts'
import type { TrainEvent } from '../../train/events.ts'
import { loadAdapter } from '../adapters.ts'
import type { LoadedModel } from '../model.ts'
import { train } from '../train.ts'
import type { FeedbackRows } from './feedback-rows.ts'
import type { ImproveSettings } from './improve-options.ts'
import { type CanaryReport, measureCanaries } from './measure-canaries.ts'

export interface CandidateReport {
  readonly rows: number
  readonly heldRows: number
  readonly users: number
  /** On held prompts, in nats per token. */
  readonly lossBefore: number
  readonly loss: number
  /** Of the perplexity, with its 95 % interval. */
  readonly difference: Difference
  readonly canaries?: CanaryReport | undefined
  /** Why it is not tried; undefined if it is. */
  readonly refusal: string | undefined
}

export interface CandidateTask {
  readonly model: LoadedModel
  /** A folder for the version, which does not exist yet. */
  readonly place: string
  readonly rows: FeedbackRows
  /** The folder of the version without feedback, from which it is trained. */
  readonly root: string
  /** The folder of the version that answers now. */
  readonly incumbent: string
  readonly settings: ImproveSettings
  readonly command?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
}

/** Trains into the task's folder, which is removed when `use` ends. */
export async function trainCandidate<Result>(
  task: CandidateTask,
  use: (folder: string, report: CandidateReport) => Promise<Result>,
): Promise<Result> {
  const { place } = task
  try {
    await runTraining(task)
    task.signal?.throwIfAborted()
    return await use(place, await judgeCandidate(task))
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

async function runTraining(task: CandidateTask): Promise<void> {
  const { model, place: out, rows, root, settings, command, signal, onEvent } = task
  const { epochs, learningRate, loss, seed } = settings
  const run = train({
    model,
    adapter: root,
    data: rows.train,
    out,
    epochs,
    learningRate,
    loss,
    seed,
    command,
    ...(loss !== 'cross-entropy' && { reference: root }),
    ...(signal && { signal }),
  })
  for await (const event of run) onEvent?.(event)
}

async function judgeCandidate(task: CandidateTask): Promise<CandidateReport> {
  const { model, place: out, rows, incumbent, settings, signal } = task
  const before = await loadAdapter(incumbent, { model })
  const after = await loadAdapter(out, { model })
  const { losses, metricResults } = await evaluate({
    model,
    data: rows.held,
    metrics: [metrics.get('perplexity')!],
    candidates: [
      { name: 'before', adapter: before },
      { name: 'after', adapter: after },
    ],
    seed: settings.seed,
    signal,
  })
  const difference = metricResults[0]!.results[1]!.difference!
  const canaries =
    settings.canaries === undefined
      ? undefined
      : await measureCanaries(settings.canaries, model, { before, after })
  const [lossBefore, loss] = losses.map((one) => one.loss) as [number, number]
  const found = {
    rows: rows.train.rows.length,
    heldRows: rows.held.rows.length,
    users: rows.users,
    lossBefore,
    loss,
    difference,
    canaries,
  }
  return { ...found, refusal: findRefusal(found) }
}

function findRefusal({
  lossBefore,
  loss,
  difference,
  canaries,
}: Omit<CandidateReport, 'refusal'>): string | undefined {
  if (canaries && !canaries.isKept)
    return `the loss on ${canaries.rows} canaries rose from ${canaries.before.toFixed(3)} to ${canaries.after.toFixed(3)} nats per token`
  if (difference.high < 0) return undefined
  return `on held prompts it is not better beyond the interval: ${loss.toFixed(3)} nats per token against ${lossBefore.toFixed(3)}`
}
