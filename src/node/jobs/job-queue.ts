// A queue of jobs that take minutes: one after the other, each with a state, events and a way to
// cancel it. Independent of what a job does.

import { OptionError } from '../../base/errors.ts'
import { EventQueue } from '../../runtime/engine/event-queue.ts'

/** 'waiting' → 'running' → 'done', 'failed' or 'cancelled'; a waiting one may be cancelled. */
export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'

export interface Job<Event, Result> {
  readonly id: number
  readonly name: string
  readonly state: JobState
  /** The latest event. */
  readonly latest: Event | undefined
  /** Why it failed or was cancelled. */
  readonly error: unknown
  /** Its result; rejects where it failed or was cancelled. */
  readonly done: Promise<Result>
  /** The last thousand events so far and those that follow, until it ends. */
  events(): AsyncIterable<Event>
  /** Ends it; resolves when it has ended. */
  cancel(reason?: unknown): Promise<void>
}

/** What a job does: emits events, returns its result, and ends early if the signal aborts. */
export type JobWork<Event, Result> = (signal: AbortSignal) => AsyncGenerator<Event, Result>

const keptEvents = 1000
/** Jobs that have ended; older ones are forgotten, because a server may run thousands. */
const keptEnded = 32

export class JobQueue<Event, Result> {
  #jobs: QueuedJob<Event, Result>[] = []
  readonly #atOnce: number
  #added = 0
  #isClosed = false

  constructor(atOnce = 1) {
    this.#atOnce = atOnce
  }

  /** Throws OptionError if the queue was closed. */
  add(name: string, work: JobWork<Event, Result>): Job<Event, Result> {
    if (this.#isClosed)
      throw new OptionError(`${name}: takes no more jobs, because the queue is closed.`)
    const job = new QueuedJob(this.#added++, name, work, () => this.#continue())
    this.#jobs.push(job)
    this.#startNext()
    return job
  }

  /** What waits and runs, and the newest 32 that have ended, in the order in which they came. */
  list(): readonly Job<Event, Result>[] {
    return this.#jobs
  }

  /** Cancels waiting and running jobs; resolves when none runs. */
  async close(): Promise<void> {
    this.#isClosed = true
    const reason = new OptionError('The queue of jobs was closed.')
    await Promise.all(this.#jobs.map((job) => job.cancel(reason)))
  }

  /** Forgets the oldest ended jobs, and starts the next one. */
  #continue(): void {
    const ended = this.#jobs.filter(({ state }) => state !== 'waiting' && state !== 'running')
    const forgotten = new Set(ended.slice(0, -keptEnded))
    if (forgotten.size > 0) this.#jobs = this.#jobs.filter((job) => !forgotten.has(job))
    this.#startNext()
  }

  #startNext(): void {
    const running = this.#jobs.filter(({ state }) => state === 'running').length
    const next = this.#jobs.find(({ state }) => state === 'waiting')
    if (next && running < this.#atOnce) next.start()
  }
}

class QueuedJob<Event, Result> implements Job<Event, Result> {
  readonly id: number
  readonly name: string
  readonly done: Promise<Result>
  state: JobState = 'waiting'
  latest: Event | undefined
  error: unknown
  readonly #work: JobWork<Event, Result>
  readonly #onEnd: () => void
  readonly #control = new AbortController()
  readonly #result = Promise.withResolvers<Result>()
  readonly #events: Event[] = []
  readonly #readers = new Set<EventQueue<Event>>()

  constructor(id: number, name: string, work: JobWork<Event, Result>, onEnd: () => void) {
    this.id = id
    this.name = name
    this.#work = work
    this.#onEnd = onEnd
    this.done = this.#result.promise
    this.done.catch(() => {}) // nobody may be waiting for it; `state` and `error` have it too
  }

  start(): void {
    this.state = 'running'
    void this.#run()
  }

  async *events(): AsyncGenerator<Event, void> {
    const reader = new EventQueue<Event>()
    for (const event of this.#events) reader.push(event)
    if (this.state === 'waiting' || this.state === 'running') this.#readers.add(reader)
    else reader.end()
    try {
      yield* reader
    } finally {
      this.#readers.delete(reader)
    }
  }

  async cancel(reason: unknown = new OptionError(`${this.name} was cancelled.`)): Promise<void> {
    this.#control.abort(reason)
    if (this.state === 'waiting') this.#end('cancelled', reason)
    await this.done.catch(() => {})
  }

  async #run(): Promise<void> {
    const { signal } = this.#control
    try {
      const work = this.#work(signal)
      let next = await work.next()
      for (; !next.done; next = await work.next()) this.#push(next.value)
      signal.throwIfAborted()
      this.state = 'done'
      this.#result.resolve(next.value)
      this.#finish()
    } catch (error) {
      this.#end(signal.aborted ? 'cancelled' : 'failed', signal.aborted ? signal.reason : error)
    }
  }

  #push(event: Event): void {
    this.latest = event
    this.#events.push(event)
    if (this.#events.length > keptEvents) this.#events.shift()
    for (const reader of this.#readers) reader.push(event)
  }

  #end(state: JobState, error: unknown): void {
    this.state = state
    this.error = error
    this.#result.reject(error)
    this.#finish()
  }

  #finish(): void {
    for (const reader of this.#readers) reader.end()
    this.#onEnd()
  }
}
