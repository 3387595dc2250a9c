// The index of a registry in Postgres, for machines that share the content in one folder. Writers
// are serialised by a lock, as with a SQLite file, so that watchers miss no change.

import type { QueryResult } from 'pg'
import { hostname } from 'node:os'
import { randomUUID } from 'node:crypto'
import type { ExpertVector, RegistryChange } from '../../registry/registry.ts'
import { selectNewestVersions } from '../../registry/registry-rules.ts'
import { createSearchIndex, type SearchIndex } from '../../registry/search.ts'
import type { PostgresPool } from '../stores/postgres-pool.ts'
import type {
  IndexedExpert,
  NewExpert,
  RegistryIndex,
  RegistryView,
  Soon,
} from './registry-index.ts'
import { createVersionConflict, toExpert } from './registry-tables.ts'

export const postgresRegistrySchema = `
create table if not exists graft_experts (
  id text not null, version text not null, hash text not null, size_bytes bigint not null,
  added_at text not null, manifest text not null, tags text not null, vector bytea,
  primary key (id, version)
);
create index if not exists graft_experts_by_hash on graft_experts (hash);
create table if not exists graft_channels (
  id text not null, channel text not null, version text not null, primary key (id, channel)
);
create table if not exists graft_pending (
  hash text not null, owner text not null, since timestamptz not null default now(),
  primary key (hash, owner)
);
create table if not exists graft_changes (
  place bigserial primary key, type text not null, id text not null, version text not null,
  channel text
);
create table if not exists graft_vectors (
  embedder text not null, id text not null, version text not null, vector bytea not null,
  primary key (embedder, id, version)
);
create table if not exists graft_revision (one integer primary key, value bigint not null);
insert into graft_revision values (1, 0) on conflict do nothing`

type Client = Pick<PostgresPool, 'query'>

const registryLock = 7_236_712_032
const keptChanges = 10_000
/** Hours after which content that an ended process was adding is removed. */
const pendingHours = 24
const ownVectors = ''

const toBytes = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

export class PostgresIndex implements RegistryIndex, RegistryView {
  readonly #pool: PostgresPool
  readonly #owner = `${hostname()} ${process.pid} ${randomUUID()}`
  #revision = Number.NaN
  #newest: readonly IndexedExpert[] = []
  readonly #indexes = new Map<string, SearchIndex>()

  constructor(pool: PostgresPool) {
    this.#pool = pool
  }

  startPending(hash: string): Promise<void> {
    return this.#write((client) =>
      client.query(
        'insert into graft_pending (hash, owner) values ($1, $2) on conflict do nothing',
        [hash, this.#owner],
      ),
    )
  }

  endPending(hash: string): Promise<void> {
    return this.#write((client) =>
      client.query('delete from graft_pending where hash = $1 and owner = $2', [hash, this.#owner]),
    )
  }

  add(expert: NewExpert): Promise<void> {
    const { id, version, hash, sizeBytes, addedAt, manifest, channels, vector } = expert
    return this.#write(async (client) => {
      const known = await client.query(
        'select hash from graft_experts where id = $1 and version = $2',
        [id, version],
      )
      const found = known.rows[0]?.['hash']
      if (found !== undefined && found !== hash)
        throw createVersionConflict(id, version, String(found), hash)
      if (found === undefined) {
        const values = [id, version, hash, sizeBytes, addedAt, JSON.stringify(manifest)]
        const more = [JSON.stringify(manifest.tags ?? []), vector ? toBytes(vector) : null]
        await client.query('insert into graft_experts values ($1, $2, $3, $4, $5, $6, $7, $8)', [
          ...values,
          ...more,
        ])
        await recordChange(client, { type: 'added', id, version })
      }
      for (const channel of channels) await setPointer(client, id, channel, version)
    })
  }

  setChannel(id: string, channel: string, version: string | undefined): Promise<void> {
    return this.#write((client) =>
      version === undefined
        ? client.query('delete from graft_channels where id = $1 and channel = $2', [id, channel])
        : setPointer(client, id, channel, version),
    )
  }

  setTags(id: string, version: string, tags: readonly string[]): Promise<void> {
    return this.#write((client) =>
      client.query('update graft_experts set tags = $1 where id = $2 and version = $3', [
        JSON.stringify(tags),
        id,
        version,
      ]),
    )
  }

  remove(id: string, version: string): Promise<void> {
    return this.#write(async (client) => {
      for (const table of ['graft_experts', 'graft_channels', 'graft_vectors'])
        await client.query(`delete from ${table} where id = $1 and version = $2`, [id, version])
      await recordChange(client, { type: 'removed', id, version })
    })
  }

  detachUnneeded(hashes: readonly string[], detach: (hash: string) => Soon<void>): Promise<void> {
    return this.#write(async (client) => {
      await client.query(
        `delete from graft_pending where since < now() - interval '${pendingHours} hours'`,
      )
      const { rows } = await client.query(
        'select hash from graft_experts where hash = any($1) union select hash from graft_pending where hash = any($1)',
        [hashes],
      )
      const needed = new Set(rows.map((row) => row['hash']))
      for (const hash of hashes) if (!needed.has(hash)) await detach(hash)
    })
  }

  async listVersions(id: string): Promise<IndexedExpert[]> {
    const channels = await this.readChannels(id)
    const { rows } = await this.#pool.query('select * from graft_experts where id = $1', [id])
    return rows.map((row) => toExpert(row, channels))
  }

  async listIds(): Promise<string[]> {
    const { rows } = await this.#pool.query('select distinct id from graft_experts')
    return rows.map((row) => String(row['id']))
  }

  async readChannels(id: string): Promise<Record<string, string>> {
    const { rows } = await this.#pool.query(
      'select channel, version from graft_channels where id = $1',
      [id],
    )
    return Object.fromEntries(rows.map((row) => [String(row['channel']), String(row['version'])]))
  }

  setVectors(embedder: string, vectors: readonly ExpertVector[]): Promise<void> {
    return this.#write(async (client) => {
      for (const { id, version, vector } of vectors)
        await client.query(
          `insert into graft_vectors select $1, id, version, $4 from graft_experts
            where id = $2 and version = $3
            on conflict (embedder, id, version) do update set vector = excluded.vector`,
          [embedder, id, version, toBytes(vector)],
        )
    })
  }

  async readChanges(after: number): Promise<{ changes: RegistryChange[]; place: number }> {
    const { rows } = await this.#pool.query(
      'select * from graft_changes where place > $1 order by place',
      [after],
    )
    const changes = rows.map((row) => ({
      type: String(row['type']) as RegistryChange['type'],
      id: String(row['id']),
      version: String(row['version']),
      ...(row['channel'] !== null && { channel: String(row['channel']) }),
    }))
    return { changes, place: Number(rows.at(-1)?.['place'] ?? after) }
  }

  get newestPlace(): Promise<number> {
    return this.#pool
      .query('select max(place) as place from graft_changes')
      .then(({ rows }) => Number(rows[0]?.['place'] ?? 0))
  }

  get newest(): Promise<readonly IndexedExpert[]> {
    return this.#readNewest()
  }

  async getIndex(embedder: string = ownVectors): Promise<SearchIndex> {
    const newest = await this.#readNewest()
    const known = this.#indexes.get(embedder)
    if (known) return known
    const index = createSearchIndex(await this.#withVectors(newest, embedder))
    this.#indexes.set(embedder, index)
    return index
  }

  /** Reads all rows if any process has written since. */
  async #readNewest(): Promise<readonly IndexedExpert[]> {
    const { rows: at } = await this.#pool.query('select value from graft_revision')
    const revision = Number(at[0]?.['value'])
    if (revision === this.#revision) return this.#newest
    const channels = new Map<string, Record<string, string>>()
    const pointers = await this.#pool.query('select id, channel, version from graft_channels')
    for (const row of pointers.rows) {
      const own = channels.get(String(row['id'])) ?? {}
      own[String(row['channel'])] = String(row['version'])
      channels.set(String(row['id']), own)
    }
    const { rows } = await this.#pool.query('select * from graft_experts')
    this.#newest = selectNewestVersions(
      rows.map((row) => toExpert(row, channels.get(String(row['id'])) ?? {})),
    )
    this.#indexes.clear()
    this.#revision = revision
    return this.#newest
  }

  async #withVectors(
    newest: readonly IndexedExpert[],
    embedder: string,
  ): Promise<readonly IndexedExpert[]> {
    if (embedder === ownVectors) return newest
    const { rows } = await this.#pool.query(
      'select id, version, vector from graft_vectors where embedder = $1',
      [embedder],
    )
    const vectors = new Map(
      rows.map((row) => [
        `${String(row['id'])}@${String(row['version'])}`,
        new Float32Array(new Uint8Array(row['vector'] as Buffer).buffer),
      ]),
    )
    return newest.map((expert) =>
      Object.assign({}, expert, { vector: vectors.get(`${expert.id}@${expert.version}`) }),
    )
  }

  async #write(work: (client: Client) => Promise<unknown>): Promise<void> {
    await this.#pool.transact(async (client) => {
      await client.query('select pg_advisory_xact_lock($1)', [registryLock])
      await work(client)
      await client.query('update graft_revision set value = value + 1')
    })
  }
}

async function setPointer(
  client: Client,
  id: string,
  channel: string,
  version: string,
): Promise<void> {
  const { rowCount }: QueryResult = await client.query(
    `insert into graft_channels as known values ($1, $2, $3) on conflict (id, channel)
      do update set version = excluded.version where known.version <> excluded.version`,
    [id, channel, version],
  )
  if (rowCount) await recordChange(client, { type: 'channel', id, version, channel })
}

async function recordChange(
  client: Client,
  { type, id, version, channel }: RegistryChange,
): Promise<void> {
  const { rows } = await client.query(
    'insert into graft_changes (type, id, version, channel) values ($1, $2, $3, $4) returning place',
    [type, id, version, channel ?? null],
  )
  await client.query('delete from graft_changes where place <= $1', [
    Number(rows[0]!['place']) - keptChanges,
  ])
}
