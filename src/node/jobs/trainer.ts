// Training next to serving: jobs in their own processes, one after the other, whose experts are
// served when their evaluation passes. Independent of what serves: an engine here or in a worker, a
// server.

import type { Expert } from '../../adapters/index.ts'
import { OptionError, WorkerError } from '../../base/errors.ts'
import { checkOptions, positiveInteger, string, unchecked, withInfo } from '../../base/schema.ts'
import type { TrainPlan } from '../../train/estimate/estimate.ts'
import type { DataInput } from '../data.ts'
import type { TrainFilesOptions } from '../train-files.ts'
import { openWorker } from '../worker/open-worker.ts'
import type { OpenedWorker } from '../worker/restarted-worker.ts'
import { locateModule } from '../worker/worker-host.ts'
import { type Job, JobQueue } from './job-queue.ts'
import { checkLowerLoss, type GateReport, type TrainGate } from './train-gate.ts'
import type { TrainJobEvent, TrainProcess, TrainTask } from './train-process.ts'
import { planShare, shareField, type TrainShare } from './train-share.ts'

type Current = Expert | string | undefined

/** What jobs need of the serving side. */
export interface TrainerOptions {
  /** Receives the folder of every expert whose evaluation passed. */
  readonly engine: { registerAdapter(name: string, folder: string): Promise<unknown> }
  /**
   * Returns the expert that is served under a name now, to compare with. Default: the result of an
   * earlier job.
   */
  readonly findCurrent?: ((name: string) => Current | Promise<Current>) | undefined
  /** Jobs that run at a time. Default 1. */
  readonly atOnce?: number | undefined
}

type Dropped = 'model' | 'out' | 'signal' | 'programs' | 'now' | 'checkpoint'

/** As `train` of graftlm/node; model and data by path, name or in memory. */
export interface TrainJobOptions extends Omit<TrainFilesOptions, Dropped> {
  /** A path or name: the job opens it in its own process. */
  readonly model: string
  /** The folder of the expert, which is kept whether it is accepted or not. */
  readonly out: string
  readonly checkpoint?: { readonly everySteps?: number | undefined } | undefined
}

export interface TrainChoice {
  /** The name under which the expert serves. */
  readonly name: string
  /** Default 'background'. */
  readonly share?: TrainShare | undefined
  /** Rows that decide whether it is served. Default: those of `validation`. */
  readonly evaluation?: DataInput | undefined
  /** Default: a lower loss than the version before, or than the base if there is none. */
  readonly gate?: TrainGate | undefined
}

export interface TrainOutcome {
  /** Whether it is served now. */
  readonly isAdmitted: boolean
  /** Why it was set aside. */
  readonly reason: string | undefined
  readonly report: GateReport
  /** The folder of the expert. */
  readonly out: string
}

export interface TrainJob extends Job<TrainJobEvent, TrainOutcome> {
  /** Its peak memory and its duration, estimated before it was queued. */
  readonly plan: TrainPlan
}

export interface Trainer {
  /**
   * Checks options, model and data, and queues a job. Throws what training throws for wrong ones;
   * then nothing is queued.
   */
  train(options: TrainJobOptions, choice: TrainChoice): Promise<TrainJob>
  /** What waits and runs, and the newest 32 that have ended. */
  jobs(): readonly Job<TrainJobEvent, TrainOutcome>[]
  /** Cancels waiting and running jobs; resolves when none runs. Runs can be resumed. */
  close(): Promise<void>
}

const trainerFields = {
  engine: unchecked<TrainerOptions['engine']>('an engine'),
  findCurrent: unchecked<NonNullable<TrainerOptions['findCurrent']>>('a function'),
  atOnce: withInfo(positiveInteger, { default: 1 }),
}
const choiceFields = {
  name: string({ filled: true }),
  share: shareField,
  evaluation: unchecked<DataInput>('a path, or rows'),
  gate: unchecked<TrainGate>('a function'),
}

/** How often a job whose process ended continues from its checkpoint. */
const mostResumes = 3
/** The share of the data that is held back if no other rows decide. */
const defaultValidation = 0.1

/**
 * Jobs with an engine:
 *
 *     const trainer = createTrainer({ engine })
 *     const job = await trainer.train({ model, data, out }, { name: 'coder' })
 *     for await (const event of job.events()) …
 *     console.log(await job.done)
 */
export function createTrainer(options: TrainerOptions): Trainer {
  checkOptions('Options of createTrainer', options, trainerFields)
  const { engine, findCurrent, atOnce = 1 } = options
  if (!engine) throw new OptionError('Options of createTrainer: engine is missing.')
  const queue = new JobQueue<TrainJobEvent, TrainOutcome>(atOnce)
  const admitted = new Map<string, string>()
  return {
    async train(given, choice) {
      const { name, share = 'background', gate = checkLowerLoss } = choice
      const prepared = prepareTask(given, choice)
      const plan = await planTask(prepared, share)
      const job = queue.add(name, async function* (signal) {
        const current = findCurrent ? await findCurrent(name) : admitted.get(name)
        const task = { ...prepared, current }
        const report = yield* runToReport(task, share, signal)
        const reason = await gate(report)
        signal.throwIfAborted()
        const { out } = task.options
        if (reason === undefined) {
          await engine.registerAdapter(name, out)
          admitted.set(name, out)
        }
        return { isAdmitted: reason === undefined, reason, report, out }
      })
      return Object.assign(job, { plan })
    },
    jobs: () => queue.list(),
    close: () => queue.close(),
  }
}

/** Throws OptionError for mistakes that can be found without a process. */
function prepareTask(given: TrainJobOptions, choice: TrainChoice): TrainTask {
  checkOptions('Options of a training job', choice, choiceFields)
  const { name, evaluation } = choice
  const problems = [
    ...(name === undefined ? ['name is missing: the expert serves under it'] : []),
    ...(typeof given.model === 'string'
      ? []
      : ['model: a job opens it in a separate process; give its path or name']),
    ...(typeof given.out === 'string' ? [] : ['out is missing: the folder of the expert']),
    ...['signal', 'programs', 'now']
      .filter((option) => option in given)
      .map((option) => `${option}: a job takes none`),
  ]
  if (problems.length > 0)
    throw new OptionError(`Options of a training job: ${problems.join('; ')}.`)
  const needsRows = evaluation === undefined && given.validation === undefined
  const options = { ...given, ...(needsRows && { validation: defaultValidation }) }
  return { name, options, evaluation, current: undefined }
}

/** The events of a job up to its report; a process that ends is followed by another one. */
async function* runToReport(
  task: TrainTask,
  share: TrainShare,
  signal: AbortSignal,
): AsyncGenerator<TrainJobEvent, GateReport> {
  let isBegun = task.options.resume ?? false
  for (let attempt = 0; ; attempt++) {
    const options = { ...task.options, signal, ...(isBegun && { resume: true, overwrite: false }) }
    const worker = await openTrainProcess(share, task.name)
    try {
      for await (const event of worker.object.run({ ...task, options })) {
        isBegun ||= event.type === 'data-ready' // from here on `out` has something to continue from
        yield event
        if (event.type === 'evaluation-end') return event.report
      }
      signal.throwIfAborted()
      throw new WorkerError(`${task.name}: training ended without an evaluation.`)
    } catch (error) {
      const isCrash = error instanceof WorkerError && worker.report().crashes > 0
      if (!isCrash || signal.aborted || attempt >= mostResumes) throw error
      yield { type: 'job-resumed', reason: worker.report().lastCrash!.reason }
    } finally {
      await worker.close()
    }
  }
}

/**
 * A caller waits for the result, so its priority is above background training and below serving.
 */
const planPriority = 10

async function planTask(task: TrainTask, share: TrainShare): Promise<TrainPlan> {
  const worker = await openTrainProcess(share, task.name, planPriority)
  try {
    return await worker.object.plan(task)
  } finally {
    await worker.close()
  }
}

function openTrainProcess(
  share: TrainShare,
  name: string,
  most = Infinity,
): Promise<OpenedWorker<TrainProcess>> {
  const { job, priority } = planShare(share)
  return openWorker<TrainProcess>({
    module: locateModule(import.meta.url, 'train-process'),
    factory: 'openTrainProcess',
    sequences: ['run'],
    isolation: 'process',
    name: `the training of ${name}`,
    priority: Math.min(priority, most),
    environment: { GRAFT_THREADS: String(job) },
    maxCrashes: 0,
    onCrash: () => {}, // the job reports it
  })
}
