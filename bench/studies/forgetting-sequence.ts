// Teaches the four tasks in a row for the study `forgetting`, plainly or with EWC of one λ and one
// estimate, and measures what is lost. Every trained task is kept in a cache under its settings.

import type { Adapter } from '../../src/adapters/index.ts'
import type { LoadedModel } from '../../src/node/index.ts'
import { mergeTask } from '../../src/train/ewc/consolidate.ts'
import type { EwcState } from '../../src/train/ewc/state.ts'
import { train } from '../../src/train/index.ts'
import { estimates, measureTask } from './forgetting-estimates.ts'
import {
  batchSize,
  type LossMeter,
  readTrainData,
  readTrainRows,
  type Task,
} from './forgetting-tasks.ts'
import type { ValueCache } from './value-cache.ts'

const trainSteps = 24
const learningRate = 1e-3
const adapterConfig = { rank: 16, alpha: 32, targets: 'all-linear' }

/** What every cached value depends on; seed, arm and task are in its own name. */
export function buildSettingsName(tasks: readonly Task[]): string {
  const { rank, alpha, targets } = adapterConfig
  const batches = `${trainSteps}x${batchSize.rows}x${batchSize.tokens}-rate-${learningRate}`
  return [...tasks.map(({ name }) => name), batches, `r${rank}-a${alpha}-${targets}`].join('-')
}

/** One way of teaching; λ 0 is plain training. */
export interface Arm {
  readonly estimate: string
  readonly lambda: number
}

export interface Outcome {
  /** Mean rise of an earlier task's loss from right after it was learned to the end. */
  readonly forgetting: number
  /** Loss of the last task. */
  readonly final: number
  /** Mean loss of all tasks at the end. */
  readonly mean: number
}

export interface SequenceContext {
  readonly model: LoadedModel
  readonly tasks: readonly Task[]
  readonly cache: ValueCache
  /** The meter of the adapter's shape. */
  readonly meter: (shape: Adapter) => Promise<LossMeter>
  readonly tell: (text: string) => void
}

async function trainTask(
  { model }: SequenceContext,
  task: Task,
  seed: number,
  before: Adapter | undefined,
  ewc: { readonly lambda: number; readonly state: EwcState } | undefined,
): Promise<Adapter> {
  const events = train({
    model,
    seed,
    steps: trainSteps,
    batch: batchSize,
    learningRate,
    system: task.system,
    data: await readTrainData(task),
    adapter: before ?? { kind: 'lora', config: adapterConfig },
    // The study measures importance separately, so the run's own is made as small as possible.
    ...(ewc && { ewc: { lambda: ewc.lambda, state: ewc.state, sample: 1 } }),
  })
  for await (const event of events) if (event.type === 'train-end') return event.adapter
  throw new Error('Training ended without a result.') // `train` ends with train-end or throws
}

const computeMean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** The tasks in a row by one arm and seed. Arms of a seed share the run of the first task. */
export async function runSequence(
  context: SequenceContext,
  { estimate, lambda }: Arm,
  seed: number,
): Promise<Outcome> {
  const { model, tasks, cache, tell } = context
  const isPlain = lambda === 0
  const armName = isPlain ? 'plain' : `${estimate}-${lambda}`
  const measureLoss = async (n: number, at: number, name: string, adapter: Adapter) =>
    cache.keep(`${name}-loss-${n}-of-${at}`, async () =>
      (await context.meter(adapter)).measure(tasks[n]!, adapter),
    )
  const fresh: number[] = []
  let adapter: Adapter | undefined
  let state: EwcState | undefined
  let name = ''
  for (const [n, task] of tasks.entries()) {
    name = n === 0 ? `seed-${seed}-first` : `seed-${seed}-${armName}`
    const before = adapter
    const pulled = state && { lambda, state }
    const learned = await cache.keep(`${name}-adapter-${n}`, () => {
      tell(`seed ${seed}, ${armName}: ${task.name}`)
      return trainTask(context, task, seed, before, pulled)
    })
    adapter = learned
    fresh.push(await measureLoss(n, n, name, learned))
    if (isPlain || n === tasks.length - 1) continue
    const rows = await readTrainRows(model, task)
    const chosen = estimates[estimate]!
    const measured = await cache.keep(`${name}-${estimate}-importance-${n}`, () =>
      measureTask(chosen, { model, adapter: learned, rows, seed }),
    )
    state = mergeTask(measured, state, chosen.decay)
  }
  const last: number[] = []
  for (const n of tasks.keys()) last.push(await measureLoss(n, tasks.length - 1, name, adapter!))
  const rises = last.slice(0, -1).map((value, n) => value - fresh[n]!)
  return { forgetting: computeMean(rises), final: last.at(-1)!, mean: computeMean(last) }
}
