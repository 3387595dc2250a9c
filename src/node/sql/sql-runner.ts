// Runs foreign SQL in a process of its own, which is killed when a query takes too long: SQLite
// cannot be stopped from within JavaScript.

import { type ChildProcess, fork } from 'node:child_process'
import { StorageError } from '../../base/errors.ts'

/** What a query gave: its rows as text, one a row, or why it gave none. */
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

/**
 * A runner whose process starts with the first query. A query that takes longer than `timeoutMs`
 * fails, and the next one gets a new process.
 */
export function createSqlRunner(timeoutMs = 5000): SqlRunner {
  let child: ChildProcess | undefined
  let last: Promise<unknown> = Promise.resolve()

  /**
   * The process, once it says that it is ready: starting it does not count against a query's time.
   */
  async function started(): Promise<ChildProcess> {
    if (child?.connected) return child
    const file = import.meta.url.endsWith('.ts') ? './sql-process.ts' : './sql-process.js'
    // Nothing of this process's surroundings is handed on; stdout and stderr stay free of what
    // SQLite warns of.
    const made = fork(new URL(file, import.meta.url), {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: {},
      execArgv: [],
    })
    await new Promise((resolve, reject) => {
      made.once('message', resolve)
      made.once('error', reject)
      made.once('exit', (code) =>
        reject(
          new StorageError(
            `The process for SQL queries ended with ${code} before its first query.`,
          ),
        ),
      )
    })
    made.removeAllListeners()
    made.unref()
    made.channel?.unref()
    child = made
    return made
  }

  async function ask(question: SqlRequest): Promise<SqlOutcome> {
    const running = await started()
    running.channel?.ref() // so that this process waits for the answer, and for nothing after it
    return new Promise((resolve) => {
      const end = (outcome: SqlOutcome): void => {
        clearTimeout(timer)
        running.removeAllListeners()
        running.channel?.unref()
        resolve(outcome)
      }
      const timer = setTimeout(() => {
        child = undefined
        end({ error: `took longer than ${timeoutMs / 1000} s` })
        running.kill('SIGKILL')
      }, timeoutMs)
      running.once('message', end)
      running.once('exit', () => {
        child = undefined
        end({ error: 'ended its process: it needs too much memory' })
      })
      running.send(question)
    })
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
