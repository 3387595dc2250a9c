// Users' items in one table of a SQLite file, through node:sqlite: thousands of users in one file,
// writers in several processes. Independent of what the bytes mean.

import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../base/errors.ts'
import { number, readOptions } from '../../base/schema.ts'
import {
  checkItem,
  checkUser,
  checkItemVersion,
  computeNextVersion,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { describeError } from '../files/system-errors.ts'

export interface SqliteStoreOptions {
  /**
   * How long a call waits for another process that is writing, before it fails. Default 5000 ms.
   */
  readonly waitMs?: number
  /** The file may grow to this many bytes; a `put` beyond it rejects with StorageError. */
  readonly limitBytes?: number
}

const storeOptions = {
  waitMs: number({ default: 5000, from: 0, to: Infinity, about: 'how long a call waits' }),
  limitBytes: number({ above: 0, to: Infinity, about: 'how large the file may become' }),
}

interface Row {
  readonly bytes: Uint8Array
  readonly version: number
}

const layoutVersion = 1
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
  26: 'it is no SQLite file',
} // https://sqlite.org/rescode.html

/**
 * Opens or creates the file. In WAL mode readers never wait for a writer. A write is one
 * transaction: complete after a crash of the process; after a crash of the machine the last ones
 * may be missing, never partial. Throws StorageError for a file of another layout and for one that
 * is no SQLite file.
 */
export async function openSqliteStore(
  path: string,
  options: SqliteStoreOptions = {},
): Promise<UserStore> {
  const { waitMs, limitBytes } = readOptions('SQLite store options', options, storeOptions)
  const database = await openDatabase(path, waitMs)
  if (limitBytes !== undefined) limitSize(database, limitBytes)
  return createStore(path, database, waitMs)
}

function limitSize(database: DatabaseSync, limitBytes: number): void {
  const { page_size: pageBytes } = database.prepare('PRAGMA page_size').get() as {
    page_size: number
  }
  database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(limitBytes / pageBytes))}`)
}

function createStore(path: string, database: DatabaseSync, waitMs: number): UserStore {
  const sql = prepareStatements(database)
  const ask = <T>(what: string, work: () => T): Promise<T> =>
    runWithRetry(`${path}: ${what}`, waitMs, work)
  const write = <T>(what: string, work: () => T): Promise<T> =>
    ask(what, () => runTransaction(database, work))
  const versionOf = (user: string, item: string): number | undefined =>
    (sql.version.get(user, item) as Row | undefined)?.version
  return {
    name: path,
    get: async (user, item) => {
      checkNames(user, item)
      const row = await ask('cannot be read', () => sql.get.get(user, item) as Row | undefined)
      return row && { bytes: row.bytes, version: row.version }
    },
    put: async (user, item, bytes, expected) => {
      checkNames(user, item)
      return write('cannot be written', () => {
        const found = versionOf(user, item)
        checkItemVersion(path, user, item, found, expected)
        const version = computeNextVersion(found, Math.random)
        sql.put.run(user, item, version, bytes)
        return version
      })
    },
    list: async (user) => {
      checkUser(user)
      const rows = await ask('cannot be read', () => sql.list.all(user))
      return rows.map((row) => ({
        item: String(row['item']),
        version: Number(row['version']),
        sizeBytes: Number(row['size_bytes']),
      }))
    },
    delete: async (user, item, expected) => {
      checkNames(user, item)
      await write('cannot be written', () => {
        checkItemVersion(path, user, item, versionOf(user, item), expected)
        sql.delete.run(user, item)
      })
    },
    forget: async (user) => {
      checkUser(user)
      await write('cannot be written', () => sql.forget.run(user))
    },
    purge: () => ask('keeps deleted bytes in its log', () => truncateLog(database)),
    users: async () =>
      (await ask('cannot be read', () => sql.users.all())).map((row) => String(row['user'])),
    close: async () => {
      if (database.isOpen) database.close()
    },
  }
}

function checkNames(user: string, item: string): void {
  checkUser(user)
  checkItem(item)
}

/**
 * Some of SQLite's functions end a text at NUL; `=` does not, so names are stored unchanged.
 */
const table = `CREATE TABLE IF NOT EXISTS items (
  user TEXT NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (user, item)
) STRICT`

async function openDatabase(path: string, waitMs: number): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined
  try {
    return await runWithRetry(`${path}: cannot be opened`, waitMs, () => {
      // Waiting inside SQLite would block the event loop.
      database ??= new DatabaseSync(path, { timeout: 0 })
      database.exec(
        // Deleted bytes are overwritten with zeros, because users ask to be forgotten.
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON',
      )
      prepareTable(database, path)
      return database
    })
  } catch (error) {
    database?.close()
    throw error
  }
}

/**
 * Writes nothing where the table exists, so that a file can be opened while other processes write.
 */
function prepareTable(database: DatabaseSync, path: string): void {
  const { user_version: found } = database.prepare('PRAGMA user_version').get() as {
    user_version: number
  }
  if (found === layoutVersion) return
  if (found > layoutVersion)
    throw new StorageError(
      `${path}: is of layout ${found}, this version reads layout ${layoutVersion}. Update Graft to open it.`,
    )
  const { tables } = database
    .prepare("SELECT count(*) AS tables FROM sqlite_schema WHERE name <> 'items'")
    .get() as { tables: number }
  if (tables > 0)
    throw new StorageError(`${path}: is a SQLite file of another program. Choose another name.`)
  runTransaction(database, () => database.exec(`${table}; PRAGMA user_version = ${layoutVersion}`))
}

const prepareStatements = (database: DatabaseSync) => ({
  get: database.prepare('SELECT bytes, version FROM items WHERE user = ? AND item = ?'),
  version: database.prepare('SELECT version FROM items WHERE user = ? AND item = ?'),
  put: database.prepare(
    'INSERT INTO items (user, item, version, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, bytes = excluded.bytes',
  ),
  list: database.prepare(
    'SELECT item, version, length(bytes) AS size_bytes FROM items WHERE user = ? ORDER BY item',
  ),
  delete: database.prepare('DELETE FROM items WHERE user = ? AND item = ?'),
  forget: database.prepare('DELETE FROM items WHERE user = ?'),
  users: database.prepare('SELECT DISTINCT user FROM items'),
})

function runTransaction<T>(database: DatabaseSync, work: () => T): T {
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
function truncateLog(database: DatabaseSync): void {
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
 * Does the work; tries again while another process holds the lock. SQLite's errors become
 * StorageError, others pass as they are.
 */
async function runWithRetry<T>(what: string, waitMs: number, work: () => T): Promise<T> {
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
