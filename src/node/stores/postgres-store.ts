// Users' items in a table of a Postgres database: writers on many machines. Versions come from a
// sequence, which gives no number twice. Independent of the bytes' meaning.

import { ConflictError } from '../../base/errors.ts'
import {
  absentVersion,
  checkItem,
  checkItemVersion,
  checkUser,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { openPostgres, type PostgresPool } from './postgres-pool.ts'

/** Names are bytes, because text in Postgres cannot contain NUL. */
const schema = `
create sequence if not exists graft_versions;
create table if not exists graft_items (
  owner bytea not null, item text not null, version bigint not null, bytes bytea not null,
  primary key (owner, item)
)`

/**
 * Opens the users in the database of an address such as postgres://user:password@host/database, and
 * creates the table. Needs the package pg. Throws StorageError if the database is unreachable or
 * refuses.
 */
export async function openPostgresStore(address: string): Promise<UserStore> {
  return createStore(await openPostgres(address, schema))
}

const sql = {
  get: 'select version, bytes from graft_items where owner = $1 and item = $2',
  version: 'select version from graft_items where owner = $1 and item = $2',
  put: `insert into graft_items values ($1, $2, nextval('graft_versions'), $3)
    on conflict (owner, item) do update set version = excluded.version, bytes = excluded.bytes
    returning version`,
  create: `insert into graft_items values ($1, $2, nextval('graft_versions'), $3)
    on conflict do nothing returning version`,
  replace: `update graft_items set version = nextval('graft_versions'), bytes = $3
    where owner = $1 and item = $2 and version = $4 returning version`,
  list: 'select item, version, length(bytes) as size from graft_items where owner = $1 order by item collate "C"',
  delete: 'delete from graft_items where owner = $1 and item = $2',
  deleteVersion: 'delete from graft_items where owner = $1 and item = $2 and version = $3',
  forget: 'delete from graft_items where owner = $1',
  users: 'select distinct owner from graft_items',
}

const toKey = (user: string): Buffer => {
  checkUser(user)
  return Buffer.from(user, 'utf8')
}

/** The error of a write that expected another version. */
async function refuseWrite(
  pool: PostgresPool,
  user: string,
  item: string,
  expected: number,
): Promise<never> {
  const { rows } = await pool.query(sql.version, [toKey(user), item])
  const found = rows[0] && Number(rows[0]['version'])
  checkItemVersion(pool.name, user, item, found, expected)
  throw new ConflictError(`${pool.name}: ${item} was changed at this moment; read it again.`)
}

function createStore(pool: PostgresPool): UserStore {
  const refuse = (user: string, item: string, expected: number): Promise<never> =>
    refuseWrite(pool, user, item, expected)
  return {
    name: pool.name,
    async get(user, item) {
      const key = toKey(user)
      checkItem(item)
      const { rows } = await pool.query(sql.get, [key, item])
      const row = rows[0]
      return (
        row && { bytes: new Uint8Array(row['bytes'] as Buffer), version: Number(row['version']) }
      )
    },
    async put(user, item, bytes, expected) {
      const key = toKey(user)
      checkItem(item)
      const values = [key, item, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)]
      const { rows } = await (expected === undefined
        ? pool.query(sql.put, values)
        : expected === absentVersion
          ? pool.query(sql.create, values)
          : pool.query(sql.replace, [...values, expected]))
      const row = rows[0]
      return row ? Number(row['version']) : refuse(user, item, expected ?? absentVersion)
    },
    async list(user) {
      const { rows } = await pool.query(sql.list, [toKey(user)])
      return rows.map((row) => ({
        item: String(row['item']),
        version: Number(row['version']),
        sizeBytes: Number(row['size']),
      }))
    },
    async delete(user, item, expected) {
      const key = toKey(user)
      checkItem(item)
      if (expected === undefined) await pool.query(sql.delete, [key, item])
      else {
        const { rowCount } = await pool.query(sql.deleteVersion, [key, item, expected])
        if (rowCount === 0) await refuse(user, item, expected)
      }
    },
    async forget(user) {
      await pool.query(sql.forget, [toKey(user)])
    },
    // rows that were deleted or replaced stay in the table's file until then
    async purge() {
      await pool.query('vacuum graft_items')
    },
    async users() {
      const { rows } = await pool.query(sql.users)
      return rows.map((row) => (row['owner'] as Buffer).toString('utf8'))
    },
    close: () => pool.close(),
  }
}
