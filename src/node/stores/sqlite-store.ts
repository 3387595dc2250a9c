// Users' items in one table of a SQLite file, through node:sqlite: thousands of users in one file,
// writers in several processes. Knows nothing of what the bytes mean.

import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../base/errors.ts'
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
   * How long a call waits for another process that is writing, before it fails; 5 seconds unless
   * told.
   */
  readonly waitMs?: number
  /** The file may grow to this many bytes; a `put` beyond it rejects with StorageError. */
  readonly limitBytes?: number
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
 * Opens or makes the file. In WAL mode readers never wait for a writer; a write is one transaction,
 * whole after a crash of the process, and the last ones may be missing, never torn, after one of
 * the machine. Throws StorageError for a file of another layout or of no SQLite at all.
 */
export async function openSqliteStore(
  path: string,
  { waitMs = 5000, limitBytes }: SqliteStoreOptions = {},
): Promise<UserStore> {
  const database = await openDatabase(path, waitMs)
  if (limitBytes !== undefined) {
    const { page_size: pageBytes } = database.prepare('PRAGMA page_size').get() as {
      page_size: number
    }
    database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(limitBytes / pageBytes))}`)
  }
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
 * NUL ends a text for some of SQLite's own functions, not for `=`, so names are kept as they are.
 */
const table = `CREATE TABLE IF NOT EXISTS items (
  user TEXT NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (user, item)
) STRICT`

async function openDatabase(path: string, waitMs: number): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined
  try {
    return await runWithRetry(`${path}: cannot be opened`, waitMs, () => {
      // waiting inside SQLite would stop this whole process
      database ??= new DatabaseSync(path, { timeout: 0 })
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      prepareTable(database, path)
      return database
    })
  } catch (error) {
    database?.close()
    throw error
  }
}

/**
 * Writes nothing where the table is there, so that a file can be opened while others write to it.
 */
function prepareTable(database: DatabaseSync, path: string): void {
  const { user_version: found } = database.prepare('PRAGMA user_version').get() as {
    user_version: number
  }
  if (found === layoutVersion) return
  if (found > layoutVersion)
    throw new StorageError(
      `${path}: is of layout ${found}, this version knows ${layoutVersion}. Update Graft to open it.`,
    )
  const { tables } = database
    .prepare("SELECT count(*) AS tables FROM sqlite_schema WHERE name <> 'items'")
    .get() as { tables: number }
  if (tables > 0)
    throw new StorageError(`${path}: is a SQLite file of something else. Choose another name.`)
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

const findSqliteCode = (error: unknown): number | undefined => {
  const code = (error as { errcode?: unknown }).errcode
  // the upper bits say more than anybody handles
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
