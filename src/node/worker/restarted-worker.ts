// A worker that is restarted after a crash, behind an object that stays the same.

import { WorkerError } from '../../base/errors.ts'
import { type Connection, connectObject, type Remote } from '../../runtime/worker/connect-object.ts'
import { encodeValue } from '../../runtime/worker/encode-value.ts'
import { startProcess } from './process-host.ts'
import { startThread } from './thread-host.ts'
import type { HostOptions, StartHost, WorkerEnd, WorkerHost } from './worker-host.ts'

/** How workers run: in a thread of this process, or in a separate process. */
const hosts = { thread: startThread, process: startProcess } satisfies Record<string, StartHost>
export type WorkerIsolation = keyof typeof hosts

/** A worker ended unexpectedly. */
export interface CrashReport {
  readonly worker: string
  readonly reason: string
  /** The error that was thrown in the worker, if there was one. */
  readonly error: Error | undefined
  /** Calls that ended with a WorkerError. */
  readonly lostCalls: number
  /** False if it crashed too often, so that every later call fails. */
  readonly isStartedAgain: boolean
}

export interface WorkerReport {
  readonly state: 'starting' | 'ready' | 'failed' | 'closed'
  readonly crashes: number
  readonly lastCrash: CrashReport | undefined
  /** Calls that have not ended. */
  readonly inFlight: number
}

export interface OpenedWorker<Of> {
  /** The same before and after a crash. */
  readonly object: Remote<Of>
  report(): WorkerReport
  /** Ends running calls, closes the object, and resolves when the worker has ended. */
  close(): Promise<void>
}

export interface RestartedWorkerSettings extends HostOptions {
  readonly isolation: WorkerIsolation
  readonly module: string
  readonly factory: string
  readonly options?: unknown
  readonly sequences: readonly string[]
  readonly maxCrashes: number
  readonly onCrash: (report: CrashReport) => void
}

/** One start of the worker. */
interface Run<Of> {
  readonly host: WorkerHost
  readonly connection: Connection<Of>
  isReady: boolean
  /** Whether its end has been handled. */
  isOver: boolean
}

const crashWindowMs = 60_000

export class RestartedWorker<Of> implements OpenedWorker<Of> {
  readonly object: Remote<Of>
  readonly #settings: RestartedWorkerSettings
  /** When it crashed, in milliseconds. */
  #crashes: number[] = []
  #crashCount = 0
  #lastCrash: CrashReport | undefined
  #state: WorkerReport['state'] = 'starting'
  #run: Run<Of>
  #isOpened = false
  #closing: Promise<void> | undefined

  /** Throws OptionError for options that cannot be sent to the worker. */
  constructor(settings: RestartedWorkerSettings) {
    this.#settings = settings
    this.#run = this.#start()
    const get = (_target: object, name: string | symbol): unknown =>
      // Resolved at each call: after a crash it is another connection's.
      typeof name === 'symbol' || name === 'then'
        ? undefined
        : (...args: unknown[]) => this.#getMethod(name)(...args)
    this.object = new Proxy({}, { get }) as Remote<Of>
  }

  /** Resolves when its object is ready. Throws what the factory threw. */
  async open(): Promise<void> {
    try {
      await this.#run.connection.ready
      this.#isOpened = true
    } catch (error) {
      await this.close()
      throw error
    }
  }

  report(): WorkerReport {
    const { inFlight } = this.#run.connection
    return { state: this.#state, crashes: this.#crashCount, lastCrash: this.#lastCrash, inFlight }
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const { connection, host } = this.#run
    this.#state = 'closed'
    host.setBusy(true) // this process must not end before the worker has
    try {
      await connection.stop()
    } finally {
      await host.close()
      connection.fail(new WorkerError(`${this.#settings.name} was closed.`))
    }
  }

  #getMethod(name: string): (...args: unknown[]) => unknown {
    const object = this.#run.connection.object as unknown
    return (object as Readonly<Record<string, (...args: unknown[]) => unknown>>)[name]!
  }

  #start(): Run<Of> {
    const { isolation, module, factory, options, sequences, ...rest } = this.#settings
    const { name, heapMb, priority, environment } = rest
    const given: unknown = typeof options === 'function' ? options() : options
    const { encoded } = encodeValue(given, `options of ${name}`)
    const task = { module, factory, options: encoded }
    const host = hosts[isolation](task, { name, heapMb, priority, environment })
    const connection = connectObject<Of>(host.port, {
      sequences: sequences as never,
      onBusy: (isBusy) => host.setBusy(isBusy || !run.isReady),
    })
    const run: Run<Of> = { host, connection, isReady: false, isOver: false }
    connection.ready.then(
      () => {
        run.isReady = true
        if (this.#state === 'starting') this.#state = 'ready'
        if (!this.#closing) host.setBusy(connection.inFlight > 0)
      },
      (cause: unknown) => {
        const error = cause instanceof Error ? cause : undefined
        this.#takeEnd(run, { reason: error?.message ?? String(cause), error })
        void host.close()
      },
    )
    void host.ended.then((end) => this.#takeEnd(run, end))
    return run
  }

  /** The worker has ended; if it was not asked to, it crashed. */
  #takeEnd(run: Run<Of>, { reason, error }: Pick<WorkerEnd, 'reason' | 'error'>): void {
    if (run.isOver) return
    run.isOver = true
    const { name, maxCrashes, onCrash } = this.#settings
    const { connection } = run
    if (this.#closing || !this.#isOpened) {
      connection.fail(createCrashError(name, reason, error))
      return
    }
    const now = performance.now()
    this.#crashes = [...this.#crashes.filter((time) => now - time < crashWindowMs), now]
    this.#crashCount++
    const isStartedAgain = this.#crashes.length <= maxCrashes
    const lostCalls = connection.inFlight
    this.#lastCrash = { worker: name, reason, error, lostCalls, isStartedAgain }
    if (isStartedAgain) {
      this.#state = 'starting'
      this.#run = this.#start() // before calls end: a caller that retries at once gets the new one
      connection.fail(createCrashError(name, reason, error))
    } else {
      this.#state = 'failed'
      connection.fail(createCrashError(name, reason, error, this.#crashes.length))
    }
    onCrash(this.#lastCrash)
  }
}

function createCrashError(
  name: string,
  reason: string,
  cause: Error | undefined,
  crashes?: number,
): WorkerError {
  const what =
    crashes === undefined
      ? `${name} crashed (${reason}) before it answered. Ask again: it is being restarted.`
      : `${name} crashed ${crashes} times within a minute (at last: ${reason}); it is not restarted.`
  return new WorkerError(what, cause && { cause })
}
