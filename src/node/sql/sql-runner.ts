// Runs untrusted SQL in a separate process, which is killed when a query takes too long, because
// SQLite cannot be stopped from within JavaScript.

import { type ChildProcess, fork } from 'node:child_process'
import { StorageError } from '../../base/errors.ts'

/** The rows of a query, each as one string, or why there are none. */
export type SqlOutcome =
  { readonly rows: readonly string[]; readonly ordered: boolean } | { readonly error: string }

export interface SqlRequest {
  /** Statements that make the tables and fill them. */
  readonly schema: string
  readonly query: string
}

export interface SqlRunner {
  /** Runs one query on a fresh database in memory, read-only. */
  run(question: SqlRequest): Promise<SqlOutcome>
  dispose(): void
}

/** Starts the process; resolves once it is ready, so that its start costs no query any time. */
async function startProcess(): Promise<ChildProcess> {
  const file = import.meta.url.endsWith('.ts') ? './sql-process.ts' : './sql-process.js'
  // The process gets no environment and no standard streams: what it prints would be SQLite's
  // warnings.
  const child = fork(new URL(file, import.meta.url), {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: {},
    execArgv: [],
  })
  await new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(
        new StorageError(`The process for SQL queries ended with ${code} before its first query.`),
      ),
    )
  })
  child.removeAllListeners()
  child.unref()
  child.channel?.unref()
  return child
}

/** Sends one query; `lost` is called where the process ends or has to be killed over it. */
function runInProcess(
  child: ChildProcess,
  question: SqlRequest,
  timeoutMs: number,
  lost: () => void,
): Promise<SqlOutcome> {
  child.channel?.ref() // so that this process waits for the answer, and for nothing after it
  return new Promise((resolve) => {
    const end = (outcome: SqlOutcome): void => {
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
    child.once('message', end)
    child.once('exit', () => {
      lost()
      end({ error: 'ended its process: it needs too much memory' })
    })
    child.send(question)
  })
}

/**
 * A runner whose process starts with the first query. A query that takes longer than `timeoutMs`
 * fails, and the next one gets a new process.
 */
export function createSqlRunner(timeoutMs = 5000): SqlRunner {
  let child: ChildProcess | undefined
  let last: Promise<unknown> = Promise.resolve()
  const ask = async (question: SqlRequest): Promise<SqlOutcome> => {
    if (!child?.connected) child = await startProcess()
    return runInProcess(child, question, timeoutMs, () => void (child = undefined))
  }
  return {
    run(question) {
      const outcome = last.then(() => ask(question))
      last = outcome.catch(() => undefined)
      return outcome
    },
    dispose: () => void child?.kill('SIGKILL'),
  }
}
