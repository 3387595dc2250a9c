// A child process that answers one request at a time and is killed when an answer takes too long,
// because neither SQLite nor a loop in WebAssembly can be stopped from within JavaScript.

import { type ChildProcess, fork } from 'node:child_process'
import { StorageError } from '../../base/errors.ts'

export interface Failure {
  readonly error: string
}

/** What a process sends for a request. */
export interface ProcessAnswer<Outcome> {
  readonly outcome: Outcome
  /** The process must not answer another request: the next one gets a new process. */
  readonly isLast: boolean
}

export interface RequestProcess<Request, Outcome> {
  /** Answers requests in the order in which they come. */
  run(request: Request): Promise<Outcome | Failure>
  dispose(): void
}

export interface ProcessOptions {
  /** The module that the process runs: it sends 'ready', then a `ProcessAnswer` to each message. */
  readonly file: URL
  /** Its purpose, for the error of a process that does not start: 'SQL queries'. */
  readonly purpose: string
  /** Of one request, in milliseconds. */
  readonly timeoutMs: number
  readonly execArgv?: readonly string[] | undefined
}

/**
 * Starts the process; resolves once it is ready, so that its start does not count as a request's
 * time.
 */
async function startProcess({ file, purpose, execArgv }: ProcessOptions): Promise<ChildProcess> {
  // The process gets no environment and no standard streams: what it prints would be warnings.
  const child = fork(file, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: {},
    execArgv: [...(execArgv ?? [])],
  })
  await new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(
        new StorageError(`The process for ${purpose} ended with ${code} before its first request.`),
      ),
    )
  })
  child.removeAllListeners()
  child.unref()
  child.channel?.unref()
  return child
}

/** Sends one request; `lost` is called if the process ends or must be killed. */
function runInProcess<Request, Outcome>(
  child: ChildProcess,
  request: Request,
  timeoutMs: number,
  lost: () => void,
): Promise<Outcome | Failure> {
  child.channel?.ref() // so that this process waits for the answer, and for nothing after it
  return new Promise((resolve) => {
    const end = (outcome: Outcome | Failure): void => {
      clearTimeout(timer)
      child.removeAllListeners()
      child.channel?.unref()
      resolve(outcome)
    }
    const timer = setTimeout(() => {
      lost()
      end({ error: `took longer than ${timeoutMs / 1000} s` })
      child.kill('SIGKILL')
    }, timeoutMs)
    child.once('message', (answer) => {
      const { outcome, isLast } = answer as ProcessAnswer<Outcome>
      if (isLast) lost()
      end(outcome)
      if (isLast) child.kill('SIGKILL')
    })
    child.once('exit', () => {
      lost()
      end({ error: 'ended its process: it needs too much memory' })
    })
    child.send(request as object, () => undefined) // where that fails, the process has ended
  })
}

/**
 * A process that starts with the first request. A request that takes longer than `timeoutMs` fails,
 * and the next one gets a new process.
 */
export function createRequestProcess<Request extends object, Outcome>(
  options: ProcessOptions,
): RequestProcess<Request, Outcome> {
  let child: ChildProcess | undefined
  let last: Promise<unknown> = Promise.resolve()
  const ask = async (request: Request): Promise<Outcome | Failure> => {
    if (!child?.connected) child = await startProcess(options)
    return runInProcess(child, request, options.timeoutMs, () => void (child = undefined))
  }
  return {
    run(request) {
      const outcome = last.then(() => ask(request))
      last = outcome.catch(() => undefined)
      return outcome
    },
    dispose: () => void child?.kill('SIGKILL'),
  }
}
