// Runs the jobs of clients: checks, queues and records them, serves their results, and continues
// unfinished ones after a restart.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileStore } from '../../../server/api/files/file-store.ts'
import type {
  JobService,
  TuningEvent,
  TuningJob,
  TuningRequest,
} from '../../../server/api/jobs/job-service.ts'
import { toRequestError } from '../../../server/error-response.ts'
import { RequestError } from '../../../server/request-error.ts'
import { createTrainer, type Trainer, type TrainJob } from '../trainer.ts'
import type { TrainShare } from '../train-share.ts'
import { copyRows } from './copy-rows.ts'
import { endAsFailed, type FollowingParts, followRun } from './follow-run.ts'
import { JobFolder } from './job-folder.ts'
import { isOpen, JobLedger } from './job-ledger.ts'
import { checkResultName, findServing, type ResultPlaces, serveResult } from './serve-result.ts'
import { toTrainOptions, type TuningPlaces } from './tuning-options.ts'

export interface TuningParts extends Omit<ResultPlaces, 'ownNames'> {
  readonly folder: string
  readonly files: FileStore
  /** The base as given to the server. */
  readonly source: string
  readonly share: TrainShare
  /** Jobs that wait or run; more are refused. */
  readonly maxJobs: number
  /** Why no job may be made here; undefined: they may. */
  readonly refusal: string | undefined
  readonly now: () => number
  readonly createId: (prefix: string) => string
  /** Receives errors behind the requests. */
  readonly onFailure: (what: string, error: unknown) => void
}

type Rows = Pick<TuningPlaces, 'training' | 'validation'>

export class TuningRunner implements JobService {
  readonly #parts: TuningParts
  readonly #folder: JobFolder
  readonly #ledger: JobLedger
  readonly #places: ResultPlaces
  readonly #trainer: Trainer
  readonly #following: FollowingParts
  readonly #runs = new Map<string, TrainJob>()
  readonly #work = new Set<Promise<void>>()
  #isClosing = false

  constructor(parts: TuningParts) {
    const { service, registry, now, createId } = parts
    this.#parts = parts
    this.#folder = new JobFolder(parts.folder)
    this.#ledger = new JobLedger({ folder: this.#folder, now, createId })
    const ownNames = () => new Set(this.#ledger.list().map(({ name }) => name))
    this.#places = { service, registry, ownNames }
    const served = new Map<string, string>()
    this.#following = {
      ledger: this.#ledger,
      folder: this.#folder,
      files: parts.files,
      served,
      isClosing: () => this.#isClosing,
      onFailure: parts.onFailure,
    }
    this.#trainer = createTrainer({
      engine: {
        registerAdapter: async (name, folder) => {
          served.set(folder, await serveResult(this.#places, name, folder))
        },
      },
      findCurrent: async (name) =>
        (await findServing(this.#places, name)) ?? this.#findResult(name),
    })
  }

  async create(request: TuningRequest, owner: string): Promise<TuningJob> {
    await this.#checkPlace(request, owner)
    const { createId, files, service } = this.#parts
    const id = createId('ftjob-')
    const { training, validation, suffix, seed = 0, ...asked } = request
    const { name: base } = await service.describe()
    const own = {
      id,
      owner,
      createdAt: this.#ledger.readSeconds(),
      status: 'queued' as const,
      base,
      name: suffix ?? `ft-${id.slice(-8)}`,
      trainingFile: training.id,
      validationFile: validation?.id,
      seed,
      resultFiles: [],
    }
    const job: TuningJob = Object.assign({}, asked, own)
    const folder = this.#folder.locate(id)
    try {
      const rows = {
        training: await copyRows(files, training, { folder, as: 'training' }),
        validation: validation && (await copyRows(files, validation, { folder, as: 'validation' })),
      }
      await this.#ledger.put(job)
      const run = await this.#train(job, rows, false)
      await this.#ledger.tell(id, { level: 'info', message: `Made the job ${id}.` })
      this.#follow(job, run)
      return job
    } catch (error) {
      this.#ledger.forget(id)
      await this.#folder.remove(id)
      throw addFileParam(error)
    }
  }

  list = async (): Promise<readonly TuningJob[]> => this.#ledger.list()

  find = async (id: string): Promise<TuningJob | undefined> => this.#ledger.find(id)

  listEvents = (id: string): Promise<readonly TuningEvent[]> => this.#folder.listEvents(id)

  async cancel(id: string): Promise<TuningJob> {
    const job = this.#ledger.get(id)
    if (!isOpen(job))
      throw new RequestError(`The job ${id} has ended: ${job.status}.`, { code: 'job_ended' })
    const ended = await this.#ledger.end(id, { status: 'cancelled' }, 'The job is cancelled.')
    await this.#runs.get(id)?.cancel()
    return ended
  }

  /** Serves results of earlier runs, and continues unfinished jobs. */
  async begin(): Promise<void> {
    const jobs = await this.#ledger.load()
    if (!this.#parts.registry) await this.#loadResults(jobs)
    this.#hold(this.#resumeAll(jobs.filter(isOpen)))
  }

  /** Ends what runs, so that the next start continues with it. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.#trainer.close()
    await Promise.all(this.#work)
  }

  #hold(work: Promise<void>): void {
    const held = work
      .catch((error: unknown) => this.#parts.onFailure('a job cannot be followed', error))
      .finally(() => this.#work.delete(held))
    this.#work.add(held)
  }

  async #checkPlace({ suffix }: TuningRequest, owner: string): Promise<void> {
    const { refusal, maxJobs } = this.#parts
    if (refusal !== undefined) throw new RequestError(refusal, { code: 'jobs_off' })
    const jobs = this.#ledger.list()
    if (jobs.filter(isOpen).length >= maxJobs)
      throw new RequestError(
        `${maxJobs} jobs wait or run, the limit of this server. Ask again when one has ended.`,
        { status: 429, code: 'too_many_jobs', retryAfter: 60 },
      )
    if (suffix === undefined) return
    if (jobs.some((job) => job.name === suffix && job.owner !== owner))
      throw new RequestError(
        `suffix: a job of another key has the name ${JSON.stringify(suffix)}. Choose another.`,
        { status: 409, param: 'suffix', code: 'name_taken' },
      )
    await checkResultName(this.#places, suffix)
  }

  /** Checks the rows and queues a run. */
  async #train(job: TuningJob, rows: Rows, isBegun: boolean): Promise<TrainJob> {
    const { source, share } = this.#parts
    const out = this.#folder.locateRun(job.id)
    const from = await this.#findStart(job.model)
    const options = toTrainOptions(job, { source, out, from, ...rows })
    const { validation: evaluation } = rows
    return this.#trainer.train(isBegun ? { ...options, resume: true } : options, {
      name: job.name,
      share,
      ...(evaluation !== undefined && { evaluation }),
    })
  }

  /** The folder of an expert to train on; undefined: the base. Throws RequestError. */
  async #findStart(model: string): Promise<string | undefined> {
    const { name, aliases } = await this.#parts.service.describe()
    if ([name, ...aliases, 'base'].includes(model)) return undefined
    const found = (await findServing(this.#places, model)) ?? this.#findResult(model)
    if (found !== undefined) return found
    throw new RequestError(
      `There is no model ${JSON.stringify(model.slice(0, 200))} to train on: give the base, ${name}, an expert of the registry, or the result of a job.`,
      { status: 404, param: 'model', code: 'model_not_found' },
    )
  }

  /** The folder of the last result under a name. */
  #findResult(name: string): string | undefined {
    const job = this.#ledger
      .list()
      .findLast((one) => one.status === 'succeeded' && one.name === name)
    return job && this.#folder.locateRun(job.id)
  }

  /** Records a run's events until it ends. */
  #follow(job: TuningJob, run: TrainJob): void {
    this.#runs.set(job.id, run)
    this.#hold(
      followRun(job, run, this.#following).finally(() => {
        this.#runs.delete(job.id)
      }),
    )
  }

  async #loadResults(jobs: readonly TuningJob[]): Promise<void> {
    const { service, onFailure } = this.#parts
    const { name: base } = await service.describe()
    const names = new Set(jobs.filter((job) => job.base === base).map(({ name }) => name))
    for (const name of names) {
      const path = this.#findResult(name)
      if (path === undefined) continue
      await service
        .loadExpert({ name, path, replace: true })
        .catch((error: unknown) => onFailure(`the result ${name} of a job is not loaded`, error))
    }
  }

  async #resumeAll(jobs: readonly TuningJob[]): Promise<void> {
    const { name: base } = await this.#parts.service.describe()
    for (const job of jobs) {
      if (this.#isClosing || !isOpen(this.#ledger.get(job.id))) continue
      try {
        if (job.base !== base)
          throw new RequestError(`The server was restarted with another base, ${base}.`, {
            code: 'base_changed',
          })
        const out = this.#folder.locateRun(job.id)
        const isBegun = (await stat(join(out, 'expert.json')).catch(() => undefined)) !== undefined
        const rows = await findRows(this.#folder.locate(job.id))
        const run = await this.#train(job, rows, isBegun)
        const message = 'The server was restarted; the job continues.'
        await this.#ledger.tell(job.id, { level: 'warn', message })
        this.#follow(job, run)
        if (!isOpen(this.#ledger.get(job.id))) await run.cancel()
      } catch (error) {
        if (this.#isClosing) return
        const { code = 'training_failed', message } = toRequestError(error)
        await endAsFailed(this.#ledger, job.id, { code, message })
      }
    }
  }
}

/** The rows that a job was made with. Throws RequestError if they are gone. */
async function findRows(folder: string): Promise<Rows> {
  const names = await readdir(folder)
  const find = (as: string): string | undefined => {
    const name = names.find((one) => one.startsWith(`${as}.`))
    return name === undefined ? undefined : join(folder, name)
  }
  const training = find('training')
  if (training === undefined)
    throw new RequestError('The rows of the job are gone.', { code: 'rows_missing' })
  return { training, validation: find('validation') }
}

/** An error of rows, with the parameter that named their file. */
function addFileParam(error: unknown): unknown {
  const found = toRequestError(error)
  if (found.status >= 500 || found.param !== undefined) return error
  if (found.code !== 'invalid_data' && found.code !== 'invalid_format') return error
  const param = found.message.includes('validation.') ? 'validation_file' : 'training_file'
  return new RequestError(found.message, { code: found.code, param }, { cause: error })
}
