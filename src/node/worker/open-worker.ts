// An object that lives in a worker: opened from a module, started again after a crash, closed after
// its last run. Independent of what the object does.

import { OptionError } from '../../base/errors.ts'
import {
  integer,
  listOf,
  naturalNumber,
  oneOf,
  positiveInteger,
  readOptions,
  string,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import type { SequenceNames } from '../../runtime/worker/connect-object.ts'
import {
  type CrashReport,
  type OpenedWorker,
  RestartedWorker,
  type WorkerIsolation,
} from './restarted-worker.ts'

export interface WorkerSettings {
  /**
   * 'thread' (default): shared memory, 50 µs a message. 'process': everything is copied, but a
   * native crash ends only the worker.
   */
  readonly isolation?: WorkerIsolation | undefined
  /** Shown in reports. */
  readonly name?: string | undefined
  /** Megabytes of JavaScript's heap; tensors are outside of it. Default: Node's. */
  readonly heapMb?: number | undefined
  /** Crashes within a minute after which it is not restarted. Default 5. */
  readonly maxCrashes?: number | undefined
  /** Default: a line on stderr. */
  readonly onCrash?: ((report: CrashReport) => void) | undefined
}

export interface OpenWorkerOptions<Of> extends WorkerSettings {
  /**
   * The module that creates the object, such as `new URL('./service-worker.js', import.meta.url)`.
   */
  readonly module: string | URL
  /** Its export that creates the object: `(options) => { object, close }`. */
  readonly factory: string
  /**
   * The factory's argument; a function is called at each start, so that it returns the current
   * state.
   */
  readonly options?: unknown
  /** Methods that give a sequence of values. */
  readonly sequences?: readonly SequenceNames<Of>[] | undefined
  /** Of a process: −20 to 19, as of os.setPriority. */
  readonly priority?: number | undefined
  /** Variables in addition to this process's own. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

export const workerSettingFields = {
  isolation: withInfo(oneOf<WorkerIsolation>(['thread', 'process']), { default: 'thread' }),
  name: string({ filled: true }),
  heapMb: positiveInteger,
  maxCrashes: withInfo(naturalNumber, { default: 5 }),
  onCrash: unchecked<(report: CrashReport) => void>('a function'),
}

const fields = {
  ...workerSettingFields,
  module: unchecked<string | URL>('the URL of a module'),
  factory: string({ filled: true }),
  options: unchecked('what the factory takes'),
  sequences: listOf(string(), { default: [] }),
  priority: integer({ from: -20, to: 19 }),
  environment: unchecked<Readonly<Record<string, string | undefined>>>('variables by name'),
}

/**
 * Opens an object in a worker. If the worker crashes, calls in flight end with a WorkerError and it
 * is restarted with the current value of `options`; later calls wait for it. Throws what the
 * factory throws, and OptionError for options that cannot be sent to a worker.
 */
export async function openWorker<Of>(options: OpenWorkerOptions<Of>): Promise<OpenedWorker<Of>> {
  const settings = readOptions('Options of openWorker', options, fields)
  const { module, factory, name = factory } = settings
  if (module === undefined || factory === undefined)
    throw new OptionError('Options of openWorker: module and factory are needed.')
  const worker = new RestartedWorker<Of>({
    ...settings,
    factory,
    name: name!,
    module: String(module),
    onCrash: settings.onCrash ?? warnOfCrash,
  })
  await worker.open()
  return worker
}

function warnOfCrash({ worker, reason, lostCalls, isStartedAgain }: CrashReport): void {
  const lost = lostCalls === 1 ? 'a request was' : `${lostCalls} requests were`
  const next = isStartedAgain ? 'it is being restarted' : 'it is not restarted'
  process.stderr.write(`graft: ${worker} crashed (${reason}); ${lost} lost, ${next}.\n`)
}
