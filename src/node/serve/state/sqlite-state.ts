// A server's state in one SQLite file. A write is complete after a crash of the process; keys and
// experts also after a crash of the machine, because a revoked key must not come back.

import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { ApiKeyRecord, KeyLimits, KeyScope } from '../../../server/keys/api-key.ts'
import type { KeyStore } from '../../../server/keys/key-ring.ts'
import type {
  LoadedExpertRecord,
  LoadedExpertStore,
  ServerState,
} from '../../../server/state/server-state.ts'
import { sumUsage, type UsageRow, type UsageStore } from '../../../server/usage/usage-row.ts'
import {
  openSqliteFile,
  runTransaction,
  runWithRetry,
  type SqliteSchema,
  truncateLog,
} from '../../stores/sqlite-file.ts'

const schema: SqliteSchema = {
  version: 1,
  tables: ['keys', 'usage', 'experts'],
  sql: `CREATE TABLE IF NOT EXISTS keys (
  place INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, hint TEXT NOT NULL,
  scopes TEXT NOT NULL, limits TEXT NOT NULL, created_at TEXT NOT NULL, revoked_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS usage (
  day TEXT NOT NULL, key TEXT NOT NULL, expert TEXT NOT NULL, user TEXT NOT NULL,
  requests INTEGER NOT NULL, failed INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  PRIMARY KEY (day, key, expert, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS usage_by_user ON usage (user);
CREATE TABLE IF NOT EXISTS experts (
  place INTEGER PRIMARY KEY, base TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
  pinned INTEGER NOT NULL, loaded_at TEXT NOT NULL, UNIQUE (base, name)
) STRICT`,
}

type SqlRow = Readonly<Record<string, SQLOutputValue>>

/** How the stores reach the file. */
interface StateFile {
  readonly database: DatabaseSync
  read<T>(work: () => T): Promise<T>
  /** One transaction; `lasting`: it is on the disk when the promise resolves. */
  write<T>(durability: 'lasting' | 'process', work: () => T): Promise<T>
}

/**
 * Opens or creates the file. `waitMs`: how long a call waits for another process that is writing.
 * Throws StorageError if it cannot be opened.
 */
export async function openSqliteState(path: string, waitMs = 5000): Promise<ServerState> {
  const database = await openSqliteFile(path, schema, waitMs)
  const file: StateFile = {
    database,
    read: (work) => runWithRetry(`${path}: cannot be read`, waitMs, work),
    write: (durability, work) =>
      runWithRetry(`${path}: cannot be written`, waitMs, () => {
        database.exec(`PRAGMA synchronous = ${durability === 'lasting' ? 'FULL' : 'NORMAL'}`)
        return runTransaction(database, work)
      }),
  }
  return {
    keys: createKeyStore(file),
    usage: createUsageStore(file),
    experts: createExpertStore(file),
    close: async () => {
      if (database.isOpen) database.close()
    },
  }
}

function createKeyStore({ database, read, write }: StateFile): KeyStore {
  const list = database.prepare('SELECT * FROM keys ORDER BY place')
  const add = database.prepare(
    'INSERT INTO keys (name, hash, hint, scopes, limits, created_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
  )
  const revoke = database.prepare('UPDATE keys SET revoked_at = ? WHERE name = ?')
  const version = database.prepare('PRAGMA data_version')
  let ownWrites = 0
  return {
    list: () => read(() => list.all().map(readKey)),
    add: async ({ name, hash, hint, scopes, limits, createdAt, revokedAt = null }) => {
      const values = [name, hash, hint, JSON.stringify(scopes), JSON.stringify(limits)]
      const { changes } = await write('lasting', () => add.run(...values, createdAt, revokedAt))
      ownWrites++
      return changes > 0
    },
    revoke: async (name, revokedAt) => {
      const { changes } = await write('lasting', () => revoke.run(revokedAt, name))
      ownWrites++
      return changes > 0
    },
    // SQLite's number changes with commits of other connections only
    readVersion: () =>
      read(() => `${String((version.get() as SqlRow)['data_version'])}:${ownWrites}`),
  }
}

const readKey = (row: SqlRow): ApiKeyRecord => ({
  name: String(row['name']),
  hash: String(row['hash']),
  hint: String(row['hint']),
  scopes: JSON.parse(String(row['scopes'])) as KeyScope[],
  limits: JSON.parse(String(row['limits'])) as KeyLimits,
  createdAt: String(row['created_at']),
  ...(row['revoked_at'] !== null && { revokedAt: String(row['revoked_at']) }),
})

const addUsageSql = `INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, failed = failed + excluded.failed,
  prompt_tokens = prompt_tokens + excluded.prompt_tokens,
  cached_tokens = cached_tokens + excluded.cached_tokens,
  completion_tokens = completion_tokens + excluded.completion_tokens`

function createUsageStore({ database, read, write }: StateFile): UsageStore {
  const add = database.prepare(addUsageSql)
  const list = database.prepare(
    'SELECT * FROM usage WHERE day >= ? AND day <= ? AND (?3 IS NULL OR key = ?3) ORDER BY day, key, expert, user',
  )
  const ofUser = database.prepare('SELECT * FROM usage WHERE user = ?')
  const remove = database.prepare('DELETE FROM usage WHERE user = ?')
  const addRow = (row: UsageRow): void => {
    const { day, key, expert, user, requests, failed, promptTokens, cachedTokens } = row
    const names = [day, key, expert, user]
    add.run(...names, requests, failed, promptTokens, cachedTokens, row.completionTokens)
  }
  return {
    add: (rows) => write('process', () => rows.forEach(addRow)),
    list: ({ from = '', to = '\u{10ffff}', key = null } = {}) =>
      read(() => list.all(from, to, key).map(readUsage)),
    forgetUser: async (user) => {
      if (user === '') return
      await write('lasting', () => {
        const rows = ofUser.all(user).map(readUsage)
        remove.run(user)
        sumUsage(rows.map((row) => Object.assign({}, row, { user: '' }))).forEach(addRow)
      })
      await read(() => truncateLog(database)) // the name is still there
    },
  }
}

const readUsage = (row: SqlRow): UsageRow => ({
  day: String(row['day']),
  key: String(row['key']),
  expert: String(row['expert']),
  user: String(row['user']),
  requests: Number(row['requests']),
  failed: Number(row['failed']),
  promptTokens: Number(row['prompt_tokens']),
  cachedTokens: Number(row['cached_tokens']),
  completionTokens: Number(row['completion_tokens']),
})

function createExpertStore({ database, read, write }: StateFile): LoadedExpertStore {
  const list = database.prepare('SELECT * FROM experts WHERE base = ? ORDER BY place')
  const put = database.prepare(
    'INSERT INTO experts (base, name, path, pinned, loaded_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET path = excluded.path, pinned = excluded.pinned, loaded_at = excluded.loaded_at',
  )
  const remove = database.prepare('DELETE FROM experts WHERE base = ? AND name = ?')
  return {
    list: (base) => read(() => list.all(base).map(readExpert)),
    put: async (base, { name, path, pinned, loadedAt }) => {
      await write('lasting', () => put.run(base, name, path, pinned ? 1 : 0, loadedAt))
    },
    delete: async (base, name) => {
      await write('lasting', () => remove.run(base, name))
    },
  }
}

const readExpert = (row: SqlRow): LoadedExpertRecord => ({
  name: String(row['name']),
  path: String(row['path']),
  pinned: row['pinned'] === 1,
  loadedAt: String(row['loaded_at']),
})
