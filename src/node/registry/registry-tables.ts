// The index of a registry in SQLite: versions, channels, content that is being added, and changes
// for watchers. Every change is one transaction.

import type { DatabaseSync } from 'node:sqlite'
import { ConflictError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import type { ExpertVector, RegistryChange } from '../../registry/registry.ts'
import { isProcessGone } from '../files/atomic-write.ts'
import type { IndexedExpert, NewExpert, RegistryIndex } from './registry-index.ts'
import { runTransaction, type SqliteSchema } from '../stores/sqlite-file.ts'

export const registrySchema: SqliteSchema = {
  version: 2, // 2 added vectors
  tables: ['experts', 'channels', 'pending', 'changes', 'vectors', 'sqlite_sequence'],
  sql: `CREATE TABLE IF NOT EXISTS experts (
  id TEXT NOT NULL, version TEXT NOT NULL, hash TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  added_at TEXT NOT NULL, manifest TEXT NOT NULL, tags TEXT NOT NULL, vector BLOB,
  PRIMARY KEY (id, version)
) STRICT;
CREATE INDEX IF NOT EXISTS experts_by_hash ON experts (hash);
CREATE TABLE IF NOT EXISTS channels (
  id TEXT NOT NULL, channel TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (id, channel)
) STRICT;
CREATE TABLE IF NOT EXISTS pending (
  hash TEXT NOT NULL, pid INTEGER NOT NULL, PRIMARY KEY (hash, pid)
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
  place INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL,
  version TEXT NOT NULL, channel TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS vectors (
  embedder TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL, vector BLOB NOT NULL,
  PRIMARY KEY (embedder, id, version)
) STRICT`,
}

const keptChanges = 10_000

/** Calls inside are short and synchronous; the caller waits for locks. */
export class RegistryTables implements RegistryIndex {
  readonly #database: DatabaseSync
  readonly #sql: ReturnType<typeof prepareStatements>
  /** Writes of this handle, which SQLite's counter does not include. */
  #writes = 0

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#sql = prepareStatements(database)
  }

  /**
   * Content of this hash must not be removed until `endPending`, although no version has it yet.
   */
  startPending(hash: string): void {
    this.#write(() => this.#sql.startPending.run(hash, process.pid))
  }

  endPending(hash: string): void {
    this.#write(() => this.#sql.endPending.run(hash, process.pid))
  }

  /** Adds a version, or finds the same. Throws ConflictError if it has other content. */
  add(expert: NewExpert): void {
    this.#write(() => {
      const { id, version, hash } = expert
      const known = this.#sql.get.get(id, version)
      if (known && known['hash'] !== hash)
        throw createVersionConflict(id, version, String(known['hash']), hash)
      if (!known) {
        this.#insert(expert)
        this.#note({ type: 'added', id, version })
      }
      for (const channel of expert.channels) this.#point(id, channel, version)
    })
  }

  #insert({ id, version, hash, sizeBytes, addedAt, manifest, vector }: NewExpert): void {
    const bytes = vector && toBytes(vector)
    const text = JSON.stringify(manifest)
    const tags = JSON.stringify(manifest.tags ?? [])
    this.#sql.add.run(id, version, hash, sizeBytes, addedAt, text, tags, bytes ?? null)
  }

  setChannel(id: string, channel: string, version: string | undefined): void {
    this.#write(() => {
      if (version === undefined) this.#sql.dropChannel.run(id, channel)
      else this.#point(id, channel, version)
    })
  }

  #point(id: string, channel: string, version: string): void {
    const { changes } = this.#sql.setChannel.run(id, channel, version)
    if (Number(changes) > 0) this.#note({ type: 'channel', id, version, channel })
  }

  setTags(id: string, version: string, tags: readonly string[]): void {
    this.#write(() => this.#sql.setTags.run(JSON.stringify(tags), id, version))
  }

  remove(id: string, version: string): void {
    this.#write(() => {
      this.#sql.remove.run(id, version)
      this.#sql.dropChannels.run(id, version)
      this.#sql.dropVectors.run(id, version)
      this.#note({ type: 'removed', id, version })
    })
  }

  /**
   * Detaches content that no version has, within a lock, so that no version can start to use it.
   */
  /** `detach` is synchronous, because the files of an index in SQLite are in a folder. */
  detachUnneeded(hashes: readonly string[], detach: (hash: string) => unknown): void {
    this.#write(() => {
      for (const row of this.#sql.listPending.all())
        if (isProcessGone(Number(row['pid'])))
          this.#sql.endPending.run(String(row['hash']), Number(row['pid']))
      for (const hash of hashes) if (!this.#isNeeded(hash)) detach(hash)
    })
  }

  #isNeeded(hash: string): boolean {
    return this.#sql.isNeeded.get(hash, hash) !== undefined
  }

  listVersions(id: string): IndexedExpert[] {
    const channels = this.readChannels(id)
    return this.#sql.listVersions.all(id).map((row) => toExpert(row, channels))
  }

  listAll(): IndexedExpert[] {
    const channels = new Map<string, Record<string, string>>()
    for (const row of this.#sql.allChannels.all()) {
      const id = String(row['id'])
      const own = channels.get(id) ?? {}
      own[String(row['channel'])] = String(row['version'])
      channels.set(id, own)
    }
    return this.#sql.listAll
      .all()
      .map((row) => toExpert(row, channels.get(String(row['id'])) ?? {}))
  }

  listIds(): string[] {
    return this.#sql.listIds.all().map((row) => String(row['id']))
  }

  readChannels(id: string): Record<string, string> {
    return Object.fromEntries(
      this.#sql.channels.all(id).map((row) => [String(row['channel']), String(row['version'])]),
    )
  }

  /** Changes whenever any process has changed the file. */
  get dataVersion(): number {
    return Number(this.#sql.dataVersion.get()?.['data_version']) + this.#writes * 2 ** 32
  }

  /** By `id@version`, the stored vectors of an embedder. */
  readVectors(embedder: string): Map<string, Float32Array> {
    return new Map(
      this.#sql.vectors
        .all(embedder)
        .map((row) => [`${row['id']}@${row['version']}`, toVector(row['vector'])!]),
    )
  }

  /** Keeps vectors of existing versions. */
  setVectors(embedder: string, vectors: readonly ExpertVector[]): void {
    this.#write(() => {
      for (const { id, version, vector } of vectors)
        if (this.#sql.get.get(id, version))
          this.#sql.setVector.run(embedder, id, version, toBytes(vector))
    })
  }

  /** Changes after a position, and the newest position. */
  readChanges(after: number): { readonly changes: RegistryChange[]; readonly place: number } {
    const rows = this.#sql.changes.all(after)
    const changes = rows.map((row) => ({
      type: String(row['type']) as RegistryChange['type'],
      id: String(row['id']),
      version: String(row['version']),
      ...(row['channel'] !== null && { channel: String(row['channel']) }),
    }))
    return { changes, place: Number(rows.at(-1)?.['place'] ?? after) }
  }

  get newestPlace(): number {
    return Number(this.#sql.newest.get()?.['place'] ?? 0)
  }

  #note({ type, id, version, channel }: RegistryChange): void {
    const { lastInsertRowid: place } = this.#sql.note.run(type, id, version, channel ?? null)
    this.#sql.forgetChanges.run(Number(place) - keptChanges)
  }

  #write(work: () => void): void {
    this.#writes++
    runTransaction(this.#database, work)
  }
}

/** The error for a version that exists with other content. */
export const createVersionConflict = (
  id: string,
  version: string,
  known: string,
  given: string,
): ConflictError =>
  new ConflictError(
    `Expert ${quoteName(id)} has a version ${version} with other content (sha256:${known.slice(0, 12)}…, got sha256:${given.slice(0, 12)}…). A version never changes: give the new one a higher number.`,
  )

/** A row of experts, in whatever database, with the channels of its name. */
export function toExpert(
  row: Readonly<Record<string, unknown>>,
  channels: Readonly<Record<string, string>>,
): IndexedExpert {
  const version = String(row['version'])
  return {
    id: String(row['id']),
    version,
    hash: String(row['hash']),
    sizeBytes: Number(row['size_bytes']),
    addedAt: String(row['added_at']),
    tags: JSON.parse(String(row['tags'])) as string[],
    channels: Object.keys(channels).filter((name) => channels[name] === version),
    manifest: JSON.parse(String(row['manifest'])) as ExpertManifest,
    vector: toVector(row['vector']),
  }
}

const toBytes = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)

const toVector = (value: unknown): Float32Array | undefined =>
  value instanceof Uint8Array ? new Float32Array(Uint8Array.from(value).buffer) : undefined

const prepareStatements = (database: DatabaseSync) => ({
  get: database.prepare('SELECT hash FROM experts WHERE id = ? AND version = ?'),
  add: database.prepare('INSERT INTO experts VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
  remove: database.prepare('DELETE FROM experts WHERE id = ? AND version = ?'),
  setTags: database.prepare('UPDATE experts SET tags = ? WHERE id = ? AND version = ?'),
  listVersions: database.prepare('SELECT * FROM experts WHERE id = ?'),
  listAll: database.prepare('SELECT * FROM experts'),
  listIds: database.prepare('SELECT DISTINCT id FROM experts'),
  isNeeded: database.prepare(
    'SELECT 1 FROM experts WHERE hash = ? UNION ALL SELECT 1 FROM pending WHERE hash = ? LIMIT 1',
  ),
  startPending: database.prepare('INSERT OR IGNORE INTO pending VALUES (?, ?)'),
  endPending: database.prepare('DELETE FROM pending WHERE hash = ? AND pid = ?'),
  listPending: database.prepare('SELECT hash, pid FROM pending'),
  channels: database.prepare('SELECT channel, version FROM channels WHERE id = ?'),
  allChannels: database.prepare('SELECT id, channel, version FROM channels'),
  setChannel: database.prepare(
    'INSERT INTO channels VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version WHERE version <> excluded.version',
  ),
  dropChannel: database.prepare('DELETE FROM channels WHERE id = ? AND channel = ?'),
  dropChannels: database.prepare('DELETE FROM channels WHERE id = ? AND version = ?'),
  note: database.prepare('INSERT INTO changes (type, id, version, channel) VALUES (?, ?, ?, ?)'),
  forgetChanges: database.prepare('DELETE FROM changes WHERE place <= ?'),
  changes: database.prepare('SELECT * FROM changes WHERE place > ? ORDER BY place'),
  dataVersion: database.prepare('PRAGMA data_version'),
  vectors: database.prepare('SELECT id, version, vector FROM vectors WHERE embedder = ?'),
  setVector: database.prepare(
    'INSERT INTO vectors VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET vector = excluded.vector',
  ),
  dropVectors: database.prepare('DELETE FROM vectors WHERE id = ? AND version = ?'),
  newest: database.prepare('SELECT max(place) AS place FROM changes'),
})
