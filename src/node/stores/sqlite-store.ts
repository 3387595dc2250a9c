// Users' items in one table of a SQLite file, through node:sqlite: thousands of users in one file,
// writers in several processes. Independent of what the bytes mean.

import type { DatabaseSync } from 'node:sqlite'
import { number, readOptions } from '../../base/schema.ts'
import {
  checkItem,
  checkUser,
  checkItemVersion,
  computeNextVersion,
  type UserStore,
} from '../../learn/store/user-store.ts'
import {
  openSqliteFile,
  runTransaction,
  runWithRetry,
  type SqliteSchema,
  truncateLog,
} from './sqlite-file.ts'

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

/**
 * Opens or creates the file. In WAL mode readers never wait for a writer. A write is one
 * transaction: complete after a crash of the process; after a crash of the machine the last ones
 * may be missing, never partial. Throws StorageError for a file of another layout and for one that
 * is not a SQLite file.
 */
export async function openSqliteStore(
  path: string,
  options: SqliteStoreOptions = {},
): Promise<UserStore> {
  const { waitMs, limitBytes } = readOptions('SQLite store options', options, storeOptions)
  const database = await openSqliteFile(path, schema, waitMs)
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
 * Some of SQLite's functions end a string at NUL; `=` does not, so names are stored unchanged.
 */
const table = `CREATE TABLE IF NOT EXISTS items (
  user TEXT NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (user, item)
) STRICT`

const schema: SqliteSchema = { version: 1, sql: table, tables: ['items'] }

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
