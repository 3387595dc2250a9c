// Connections to a Postgres database through the package pg, which is loaded when it is first
// needed. Independent of the stored data.

import type * as Pg from 'pg'
import type { Pool, PoolClient, QueryResult } from 'pg'
import { GraftError, StorageError, UnsupportedError } from '../../base/errors.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

export interface PostgresPool {
  /** The address without its password, for errors. */
  readonly name: string
  query(sql: string, values?: readonly unknown[]): Promise<QueryResult>
  /** Runs the work in one transaction, which is rolled back if it throws. */
  transact<T>(work: (client: Pick<PoolClient, 'query'>) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** The address without secrets. Throws StorageError for an invalid one. */
function describeAddress(address: string): string {
  let url: URL
  try {
    url = new URL(address)
  } catch {
    throw new StorageError(
      'A Postgres address: got one that cannot be read, expected postgres://user:password@host:5432/database.',
    )
  }
  const host = url.host || url.searchParams.get('host') || 'localhost'
  return `postgres://${host}${url.pathname}`
}

const reasons: Readonly<Record<string, string>> = {
  '53100': 'disk full',
  '53200': 'the server has no memory left',
  '53300': 'the server has too many connections',
  '53400': 'a limit of the server is reached',
  '57P01': 'the server is shutting down',
  '57P03': 'the server is starting',
  '28P01': 'wrong password',
  '28000': 'this user may not connect',
  '3D000': 'there is no such database',
  '42501': 'no permission',
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  ENOENT: 'there is no such socket',
}

/** One line with the reason why the database failed. */
function wrapError(what: string, cause: unknown): GraftError {
  if (GraftError.isInstance(cause)) return cause
  const code = findErrorCode(cause) ?? ''
  const reason = reasons[code]
  return reason === undefined
    ? toStorageError(what, cause)
    : new StorageError(`${what}: ${reason} (${code}).`, { cause })
}

async function loadPg(): Promise<typeof Pg> {
  try {
    return await import('pg')
  } catch (cause) {
    if (findErrorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new UnsupportedError(
      'Postgres needs the package pg in addition to Graft: npm install pg (or npm install -g pg for a global graft).',
      { cause },
    )
  }
}

/**
 * The number of Graft's advisory lock, so that two processes do not create the tables at the same
 * time.
 */
const schemaLock = 7_236_712_031

const connectMs = 10_000

/**
 * Opens a pool and creates the tables of `schema`, whose statements may be run again. Throws
 * UnsupportedError without the package, StorageError if the database is unreachable or refuses.
 */
export async function openPostgres(address: string, schema: string): Promise<PostgresPool> {
  const name = describeAddress(address)
  const { Pool } = await loadPg()
  const pool = new Pool({
    connectionString: address,
    connectionTimeoutMillis: connectMs,
    application_name: 'graft',
  })
  // a connection that breaks while it is idle is replaced by the next call
  pool.on('error', () => undefined)
  const opened = createPool(name, pool)
  try {
    await opened.transact(async (client) => {
      await client.query('select pg_advisory_xact_lock($1)', [schemaLock])
      await client.query(schema)
    })
  } catch (error) {
    await pool.end()
    throw error
  }
  return opened
}

function createPool(name: string, pool: Pool): PostgresPool {
  const ask = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw wrapError(`${name}: cannot be used`, error)
    }
  }
  let closing: Promise<void> | undefined
  return {
    name,
    query: (sql, values) => ask(() => pool.query(sql, values)),
    transact: (work) =>
      ask(async () => {
        const client = await pool.connect()
        try {
          await client.query('begin')
          const result = await work(client)
          await client.query('commit')
          client.release()
          return result
        } catch (error) {
          await client.query('rollback').catch(() => undefined)
          client.release(!GraftError.isInstance(error))
          throw error
        }
      }),
    close: () => (closing ??= pool.end()),
  }
}
