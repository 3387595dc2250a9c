// A SQLite file with a known schema, through node:sqlite: its layout, transactions, and waiting for
// other processes without blocking. Independent of what its tables hold.

import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../base/errors.ts'
import { describeError } from '../files/system-errors.ts'

/** The schema of a file: the statements that make it, and their version. */
export interface SqliteSchema {
  readonly version: number
  readonly sql: string
  /** The names of its tables: a file with others is of another program. */
  readonly tables: readonly string[]
}

const pollMs = 5
const busy = 5 // SQLITE_BUSY
const reasons: Readonly<Record<number, string>> = {
  5: 'another process keeps it locked',
  8: 'it is read-only',
  10: 'the disk failed',
  11: 'the file is damaged',
  13: 'disk full or the limit reached',
  14: 'it cannot be opened',
  18: 'the item is too large',
  26: 'it is not a SQLite file',
} // https://sqlite.org/rescode.html

/** Node's SQLite, asked for when it is used, so that an older Node can load this file. */
const loadSqlite = () => process.getBuiltinModule('node:sqlite')

/**
 * Opens or creates the file, in WAL mode. Throws StorageError for a file of another layout and for
 * one that is not a SQLite file.
 */
export async function openSqliteFile(
  path: string,
  schema: SqliteSchema,
  waitMs: number,
): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined
  try {
    return await runWithRetry(`${path}: cannot be opened`, waitMs, () => {
      // Waiting inside SQLite would block the event loop.
      database ??= new (loadSqlite().DatabaseSync)(path, { timeout: 0 })
      database.exec(
        // Deleted bytes are overwritten with zeros, because users ask to be forgotten.
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON',
      )
      prepareTables(database, path, schema)
      return database
    })
  } catch (error) {
    database?.close()
    throw error
  }
}

/** Writes nothing if the tables exist, so that a file can be opened while other processes write. */
function prepareTables(
  database: DatabaseSync,
  path: string,
  { version, sql, tables: own }: SqliteSchema,
): void {
  const { user_version: found } = database.prepare('PRAGMA user_version').get() as {
    user_version: number
  }
  if (found === version) return
  if (found > version)
    throw new StorageError(
      `${path}: is of layout ${found}, this version reads layout ${version}. Update Graft to open it.`,
    )
  const names = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all()
    .map((row) => String(row['name']))
  if (names.some((name) => !own.includes(name)))
    throw new StorageError(`${path}: is a SQLite file of another program. Choose another name.`)
  runTransaction(database, () => database.exec(`${sql}; PRAGMA user_version = ${version}`))
}

/** Runs the work as one transaction, which is rolled back if it throws. */
export function runTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** Moves the log into the file and empties it. Throws as SQLITE_BUSY while others read from it. */
export function truncateLog(database: DatabaseSync): void {
  const { busy: isBusy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as {
    busy: number
  }
  if (isBusy) throw Object.assign(new Error('the log is in use'), { errcode: busy })
}

const findSqliteCode = (error: unknown): number | undefined => {
  const code = (error as { errcode?: unknown }).errcode
  // The upper bits hold details that no caller needs.
  return typeof code === 'number' ? code & 0xff : undefined
}

/**
 * Does the work; tries again while another process has the lock. SQLite's errors become
 * StorageError; others are unchanged.
 */
export async function runWithRetry<T>(what: string, waitMs: number, work: () => T): Promise<T> {
  for (const until = performance.now() + waitMs; ;) {
    try {
      return work()
    } catch (cause) {
      const code = findSqliteCode(cause)
      if (code === busy && performance.now() < until) {
        await sleep(pollMs)
        continue
      }
      const closed = (cause as { code?: unknown }).code === 'ERR_INVALID_STATE'
      if (code === undefined && !closed) throw cause
      throw new StorageError(`${what}: ${(code && reasons[code]) ?? describeError(cause)}.`, {
        cause,
      })
    }
  }
}
