// The state of all jobs, in memory and on disk: a change is in both before it is reported.

import { NotFoundError } from '../../../base/errors.ts'
import type { TuningEvent, TuningJob } from '../../../server/api/jobs/job-service.ts'
import type { JobFolder } from './job-folder.ts'

export interface LedgerParts {
  readonly folder: JobFolder
  readonly now: () => number
  readonly createId: (prefix: string) => string
}

export const isOpen = ({ status }: TuningJob): boolean =>
  status === 'queued' || status === 'running'

export class JobLedger {
  readonly #parts: LedgerParts
  readonly #jobs = new Map<string, TuningJob>()
  /** Writes are one after the other, so that the last state is the one on the disk. */
  #writing: Promise<unknown> = Promise.resolve()

  constructor(parts: LedgerParts) {
    this.#parts = parts
  }

  async load(): Promise<readonly TuningJob[]> {
    for (const job of await this.#parts.folder.list()) this.#jobs.set(job.id, job)
    return this.list()
  }

  /** Seconds since 1970. */
  readSeconds(): number {
    return Math.floor(this.#parts.now() / 1000)
  }

  /** In the order in which they were made. */
  list(): readonly TuningJob[] {
    return [...this.#jobs.values()]
  }

  find(id: string): TuningJob | undefined {
    return this.#jobs.get(id)
  }

  /** Throws NotFoundError. */
  get(id: string): TuningJob {
    const job = this.#jobs.get(id)
    if (job) return job
    throw new NotFoundError(`There is no job ${id}.`)
  }

  forget(id: string): void {
    this.#jobs.delete(id)
  }

  async put(job: TuningJob): Promise<TuningJob> {
    this.#jobs.set(job.id, job)
    const writing = this.#writing.then(() => this.#parts.folder.put(job))
    this.#writing = writing.catch(() => undefined)
    await writing
    return job
  }

  change(id: string, change: Partial<TuningJob>): Promise<TuningJob> {
    return this.put(Object.assign({}, this.get(id), change))
  }

  /** An event and the final state of a job: a reader that sees the state finds the event. */
  async end(id: string, change: Partial<TuningJob>, message: string): Promise<TuningJob> {
    await this.tell(id, { level: change.status === 'failed' ? 'error' : 'info', message })
    return this.change(id, Object.assign({ finishedAt: this.readSeconds() }, change))
  }

  tell(id: string, event: Omit<TuningEvent, 'id' | 'createdAt'>): Promise<void> {
    const place = { id: this.#parts.createId('ftevent-'), createdAt: this.readSeconds() }
    return this.#parts.folder.addEvent(id, Object.assign(place, event))
  }
}
