// The index of a browser's registry in IndexedDB: versions, channels, vectors, changes for
// watchers, and the files themselves if OPFS is not used. Each call is one transaction, which the
// browser orders between tabs.

import { ConflictError, GraftError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import type { ExpertVector, RegisteredExpert, RegistryChange } from '../../registry/registry.ts'
import type { SearchableExpert } from '../../registry/search.ts'
import { toBrowserStorageError } from '../stores/storage-errors.ts'
import { type ContentStore, countFileBytes } from './content-store.ts'

/** A version as in the index. */
export interface IndexRow {
  readonly hash: string
  readonly sizeBytes: number
  readonly addedAt: string
  readonly manifest: ExpertManifest
  readonly tags: readonly string[]
  readonly vector: Float32Array | undefined
}

const storeNames = ['experts', 'channels', 'vectors', 'changes', 'files'] as const
type StoreName = (typeof storeNames)[number]
type Stores = Readonly<Record<StoreName, IDBObjectStore>>

const layout = 1
const keptChanges = 10_000

/** All keys that begin with this one, because lists sort after strings. */
const createRange = (first: string): IDBKeyRange => IDBKeyRange.bound([first], [first, []])

export class RegistryDatabase {
  readonly name: string
  readonly #database: IDBDatabase

  private constructor(name: string, database: IDBDatabase) {
    this.name = name
    this.#database = database
  }

  /** Throws StorageError if the browser forbids it, or a newer version of Graft created it. */
  static async open(registryName: string): Promise<RegistryDatabase> {
    const name = `IndexedDB ${registryName}`
    try {
      const request = indexedDB.open(registryName, layout)
      request.addEventListener('upgradeneeded', () => {
        for (const store of storeNames)
          request.result.createObjectStore(store, { autoIncrement: store === 'changes' })
      })
      const database = await awaitRequest(request)
      // another tab deletes it or opens it with a newer layout
      database.addEventListener('versionchange', () => database.close())
      return new RegistryDatabase(name, database)
    } catch (cause) {
      throw toBrowserStorageError(`${name}: cannot be opened`, cause)
    }
  }

  close(): void {
    this.#database.close()
  }

  /** Adds a version, or finds the same. Throws ConflictError if it has other content. */
  add(id: string, version: string, row: IndexRow, channels: readonly string[]): Promise<void> {
    return this.#run('readwrite', async (stores) => {
      const known = await awaitRequest<IndexRow | undefined>(stores.experts.get([id, version]))
      if (known && known.hash !== row.hash)
        throw new ConflictError(
          `Expert ${quoteName(id)} has a version ${version} with other content (sha256:${known.hash.slice(0, 12)}…, got sha256:${row.hash.slice(0, 12)}…). A version never changes: give the new one a higher number.`,
        )
      if (!known) {
        stores.experts.put(row, [id, version])
        addChange(stores, { type: 'added', id, version })
      }
      for (const channel of channels) await setVersion(stores, id, channel, version)
    })
  }

  setChannel(id: string, channel: string, version: string | undefined): Promise<void> {
    return this.#run('readwrite', async (stores) => {
      if (version === undefined) stores.channels.delete([id, channel])
      else await setVersion(stores, id, channel, version)
    })
  }

  setTags(id: string, version: string, tags: readonly string[]): Promise<void> {
    return this.#run('readwrite', async ({ experts }) => {
      const row = await awaitRequest<IndexRow | undefined>(experts.get([id, version]))
      if (row) experts.put(Object.assign({}, row, { tags }), [id, version])
    })
  }

  setVectors(embedder: string, vectors: readonly ExpertVector[]): Promise<void> {
    return this.#run('readwrite', async (stores) => {
      for (const { id, version, vector } of vectors)
        if (await awaitRequest(stores.experts.getKey([id, version])))
          stores.vectors.put(vector.slice(), [embedder, id, version])
    })
  }

  remove(id: string, version: string): Promise<void> {
    return this.#run('readwrite', async (stores) => {
      stores.experts.delete([id, version])
      for (const [channel, at] of Object.entries(await readChannels(stores, id)))
        if (at === version) stores.channels.delete([id, channel])
      for (const key of (await awaitRequest(stores.vectors.getAllKeys())) as string[][])
        if (key[1] === id && key[2] === version) stores.vectors.delete(key)
      addChange(stores, { type: 'removed', id, version })
    })
  }

  listVersions(id: string): Promise<SearchableExpert[]> {
    return this.#run('readonly', async (stores) => {
      const range = createRange(id)
      const [keys, rows, channels] = await Promise.all([
        awaitRequest(stores.experts.getAllKeys(range)),
        awaitRequest<IndexRow[]>(stores.experts.getAll(range)),
        readChannels(stores, id),
      ])
      return keys.map((key, i) => toExpert(key as string[], rows[i]!, channels))
    })
  }

  /** All experts with the vectors of an embedder, or with those that they were added with. */
  listAll(embedder?: string): Promise<SearchableExpert[]> {
    return this.#run('readonly', async (stores) => {
      const [keys, rows, channelKeys, versions] = await Promise.all([
        awaitRequest(stores.experts.getAllKeys()) as Promise<string[][]>,
        awaitRequest<IndexRow[]>(stores.experts.getAll()),
        awaitRequest(stores.channels.getAllKeys()) as Promise<string[][]>,
        awaitRequest<string[]>(stores.channels.getAll()),
      ])
      const channels = new Map<string, Record<string, string>>()
      for (const [i, [id = '', channel = '']] of channelKeys.entries())
        channels.set(id, Object.assign(channels.get(id) ?? {}, { [channel]: versions[i] }))
      const vectors = embedder === undefined ? undefined : await readVectors(stores, embedder)
      return keys.map((key, i) => {
        const expert = toExpert(key, rows[i]!, channels.get(key[0]!) ?? {})
        return vectors
          ? Object.assign(expert, { vector: vectors.get(`${key[0]}@${key[1]}`) })
          : expert
      })
    })
  }

  readChannels(id: string): Promise<Record<string, string>> {
    return this.#run('readonly', (stores) => readChannels(stores, id))
  }

  /** Changes after a position, and the newest position; for undefined, no changes. */
  readChanges(after: number | undefined): Promise<{ changes: RegistryChange[]; place: number }> {
    return this.#run('readonly', async ({ changes }) => {
      const range = after === undefined ? undefined : IDBKeyRange.lowerBound(after, true)
      const keys = (await awaitRequest(changes.getAllKeys(range))) as number[]
      const found =
        after === undefined ? [] : await awaitRequest<RegistryChange[]>(changes.getAll(range))
      return { changes: found, place: keys.at(-1) ?? after ?? 0 }
    })
  }

  /** Experts' files in the database itself. */
  createContent(): ContentStore {
    const read = async ({ files }: Stores, hash: string): Promise<Map<string, Uint8Array>> => {
      const range = createRange(hash)
      const [keys, values] = await Promise.all([
        awaitRequest(files.getAllKeys(range)) as Promise<string[][]>,
        awaitRequest<Uint8Array[]>(files.getAll(range)),
      ])
      return new Map(keys.map((key, i) => [key[1]!, values[i]!]))
    }
    return {
      name: this.name,
      write: (hash, given) =>
        this.#run('readwrite', async ({ files }) => {
          for (const [path, bytes] of given) files.put(bytes.slice(), [hash, path])
        }),
      read: (hash) => this.#run('readonly', (stores) => read(stores, hash)),
      remove: (hash) =>
        this.#run('readwrite', async (stores) => {
          const bytes = countFileBytes(await read(stores, hash))
          stores.files.delete(createRange(hash))
          return bytes
        }),
      list: () =>
        this.#run('readonly', async ({ files }) => {
          const keys = (await awaitRequest(files.getAllKeys())) as string[][]
          return [...new Set(keys.map(([hash]) => hash!))]
        }),
    }
  }

  /** The work may only await its own requests. An error aborts the transaction. */
  async #run<T>(mode: IDBTransactionMode, work: (stores: Stores) => Promise<T>): Promise<T> {
    try {
      const transaction = this.#database.transaction(storeNames, mode, { durability: 'strict' })
      const done = new Promise<void>((resolve, reject) => {
        transaction.addEventListener('complete', () => resolve())
        transaction.addEventListener('abort', () => reject(transaction.error))
      })
      try {
        const entries = storeNames.map((name) => [name, transaction.objectStore(name)] as const)
        const result = await work(Object.fromEntries(entries) as Stores)
        await done
        return result
      } catch (error) {
        done.catch(() => undefined)
        if (transaction.error === null && GraftError.isInstance(error)) transaction.abort()
        throw error
      }
    } catch (cause) {
      throw GraftError.isInstance(cause)
        ? cause
        : toBrowserStorageError(`${this.name}: cannot be used`, cause)
    }
  }
}

function awaitRequest<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error))
  })
}

async function setVersion(
  stores: Stores,
  id: string,
  channel: string,
  version: string,
): Promise<void> {
  const known = await awaitRequest<string | undefined>(stores.channels.get([id, channel]))
  if (known === version) return
  stores.channels.put(version, [id, channel])
  addChange(stores, { type: 'channel', id, version, channel })
}

function addChange({ changes }: Stores, change: RegistryChange): void {
  const request = changes.add(change)
  request.addEventListener('success', () => {
    const oldest = Number(request.result) - keptChanges
    if (oldest > 0) changes.delete(IDBKeyRange.upperBound(oldest))
  })
}

async function readChannels({ channels }: Stores, id: string): Promise<Record<string, string>> {
  const range = createRange(id)
  const [keys, versions] = await Promise.all([
    awaitRequest(channels.getAllKeys(range)) as Promise<string[][]>,
    awaitRequest<string[]>(channels.getAll(range)),
  ])
  return Object.fromEntries(keys.map((key, i) => [key[1]!, versions[i]!]))
}

async function readVectors(
  { vectors }: Stores,
  embedder: string,
): Promise<Map<string, Float32Array>> {
  const range = createRange(embedder)
  const [keys, values] = await Promise.all([
    awaitRequest(vectors.getAllKeys(range)) as Promise<string[][]>,
    awaitRequest<Float32Array[]>(vectors.getAll(range)),
  ])
  return new Map(keys.map((key, i) => [`${key[1]}@${key[2]}`, values[i]!]))
}

function toExpert(
  [id = '', version = '']: readonly string[],
  row: IndexRow,
  channels: Readonly<Record<string, string>>,
): SearchableExpert {
  const own = Object.keys(channels).filter((name) => channels[name] === version)
  return Object.assign({ id, version, channels: own }, row) satisfies RegisteredExpert
}
