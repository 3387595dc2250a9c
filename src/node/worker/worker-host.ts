// Where a worker runs: a thread of this process, or a separate process. Independent of what is
// called there.

import type { RemotePort } from '../../runtime/worker/port.ts'
import type { EncodedValue } from '../../runtime/worker/encode-value.ts'

/** What a worker receives at its start. */
export interface WorkerTask {
  /** The URL of the module that has the factory. */
  readonly module: string
  /** The name of its export. */
  readonly factory: string
  readonly options: EncodedValue
}

/** How a worker runs. */
export interface HostOptions {
  /** Shown in reports; the thread's name. */
  readonly name: string
  /** Megabytes of JavaScript's heap; tensors are outside of it. Default: Node's. */
  readonly heapMb?: number | undefined
  /** −20 to 19, as for os.setPriority; only a process has its own. */
  readonly priority?: number | undefined
  /** Variables besides the process's own. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

export interface WorkerEnd {
  /** undefined: a thread or process that ended by a signal. */
  readonly code: number | undefined
  /** Why, in a few words: 'exit code 1', 'signal SIGKILL', or an error's message. */
  readonly reason: string
  readonly error: Error | undefined
}

export interface WorkerHost {
  readonly port: RemotePort
  /** Resolves when it has ended, in whatever way. */
  readonly ended: Promise<WorkerEnd>
  /** Whether this process stays alive as long as the worker runs. */
  setBusy(isBusy: boolean): void
  /** Lets it end after its object was closed; resolves when it has ended. */
  close(): Promise<void>
  /**
   * Ends it now. A thread must not be in the middle of a run of ONNX Runtime: that would end this
   * process.
   */
  kill(): Promise<void>
}

export type StartHost = (task: WorkerTask, options: HostOptions) => WorkerHost

/** A module next to the one of this URL, as source or as built. */
export function locateModule(url: string, name: string): URL {
  const extension = url.endsWith('.ts') ? 'ts' : 'js'
  return new URL(`./${name}.${extension}`, url)
}

/** Flags of this process that choose what it runs, with a value each. */
const programFlags = ['-e', '--eval', '-p', '--print', '--input-type', '-i', '--interactive']

/** Node's flags for a worker: those of this process, without its program and its debugger. */
export function listNodeFlags(given: readonly string[] = process.execArgv): string[] {
  const flags: string[] = []
  for (let i = 0; i < given.length; i++) {
    const flag = given[i]!
    if (programFlags.includes(flag)) i++
    else if (!/^--(eval|print|input-type|inspect[a-z-]*|watch[a-z-]*|test[a-z-]*)(=|$)/.test(flag))
      flags.push(flag)
  }
  return flags
}

/** How long a worker may take to end after its object is closed. */
export const endingMs = 2000
