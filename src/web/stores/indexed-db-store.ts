// Users' items in IndexedDB: one transaction for each call, which the browser orders between tabs.
// Independent of the bytes' meaning.

import { GraftError } from '../../base/errors.ts'
import {
  checkItem,
  checkUser,
  checkItemVersion,
  type ItemInfo,
  computeNextVersion,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { toBrowserStorageError } from './storage-errors.ts'

interface Info {
  readonly version: number
  readonly sizeBytes: number
}

/** Two stores, so that listing reads no bytes. Both by [user, item]. */
const infos = 'infos'
const contents = 'contents'
const layout = 1

/**
 * Opens or creates the database of this name. Throws StorageError if the browser forbids it or a
 * newer version created it.
 */
export async function openIndexedDbStore(databaseName = 'graft-users'): Promise<UserStore> {
  const name = `IndexedDB ${databaseName}`
  const database = await openDatabase(name, databaseName)
  const read = <T>(work: (stores: Stores) => Promise<T>): Promise<T> =>
    runInTransaction(database, 'readonly', `${name}: cannot be read`, work)
  const write = <T>(work: (stores: Stores) => Promise<T>): Promise<T> =>
    runInTransaction(database, 'readwrite', `${name}: cannot be written`, work)
  return {
    name,
    get: async (user, item) => {
      checkKey(user, item)
      return read(async (stores) => {
        const [info, bytes] = await Promise.all([
          readInfo(stores, user, item),
          awaitRequest<Uint8Array | undefined>(stores.contents.get([user, item])),
        ])
        return info && bytes && { bytes, version: info.version }
      })
    },
    put: async (user, item, bytes, expected) => {
      checkKey(user, item)
      const own = bytes.slice() // a view would be stored with its whole buffer
      return write(async (stores) => {
        const found = (await readInfo(stores, user, item))?.version
        checkItemVersion(name, user, item, found, expected)
        const version = computeNextVersion(found, Math.random)
        stores.infos.put({ version, sizeBytes: own.length } satisfies Info, [user, item])
        stores.contents.put(own, [user, item])
        return version
      })
    },
    list: async (user) => {
      checkUser(user)
      return read((stores) => listItems(stores, user))
    },
    delete: async (user, item, expected) => {
      checkKey(user, item)
      await write(async (stores) => {
        checkItemVersion(name, user, item, (await readInfo(stores, user, item))?.version, expected)
        for (const store of Object.values(stores)) store.delete([user, item])
      })
    },
    forget: async (user) => {
      checkUser(user)
      await write(async (stores) => {
        for (const store of Object.values(stores)) store.delete(createUserRange(user))
      })
    },
    users: async () => {
      const keys = await read(({ infos: store }) => awaitRequest(store.getAllKeys()))
      return [...new Set(keys.map((key) => (key as string[])[0]!))]
    },
    close: async () => database.close(),
  }
}

interface Stores {
  readonly infos: IDBObjectStore
  readonly contents: IDBObjectStore
}

function checkKey(user: string, item: string): void {
  checkUser(user)
  checkItem(item)
}

/** Every item of a user: lists sort after strings, so [user, []] is after all of them. */
const createUserRange = (user: string): IDBKeyRange => IDBKeyRange.bound([user], [user, []])

const readInfo = (
  { infos: store }: Stores,
  user: string,
  item: string,
): Promise<Info | undefined> => awaitRequest(store.get([user, item]))

async function listItems({ infos: store }: Stores, user: string): Promise<ItemInfo[]> {
  const range = createUserRange(user)
  const [keys, found] = await Promise.all([
    awaitRequest(store.getAllKeys(range)),
    awaitRequest<Info[]>(store.getAll(range)),
  ])
  return keys.map((key, i) => ({ item: (key as string[])[1]!, ...found[i]! }))
}

function awaitRequest<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error))
  })
}

async function openDatabase(name: string, databaseName: string): Promise<IDBDatabase> {
  try {
    const request = indexedDB.open(databaseName, layout)
    request.addEventListener('upgradeneeded', () => {
      for (const store of [infos, contents]) request.result.createObjectStore(store)
    })
    const database = await awaitRequest(request)
    // another tab deletes it or opens it with a newer layout
    database.addEventListener('versionchange', () => database.close())
    return database
  } catch (cause) {
    throw toBrowserStorageError(`${name}: cannot be opened`, cause)
  }
}

/**
 * The work's result once the transaction is on disk. The work may only await its own requests. An
 * error aborts the transaction.
 */
async function runInTransaction<T>(
  database: IDBDatabase,
  mode: IDBTransactionMode,
  what: string,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  try {
    const transaction = database.transaction([infos, contents], mode, { durability: 'strict' })
    const done = new Promise<void>((resolve, reject) => {
      transaction.addEventListener('complete', () => resolve())
      transaction.addEventListener('abort', () => reject(transaction.error))
    })
    try {
      const result = await work({
        infos: transaction.objectStore(infos),
        contents: transaction.objectStore(contents),
      })
      await done
      return result
    } catch (error) {
      done.catch(() => undefined)
      if (transaction.error === null && GraftError.isInstance(error)) transaction.abort()
      throw error
    }
  } catch (cause) {
    throw GraftError.isInstance(cause) ? cause : toBrowserStorageError(what, cause)
  }
}
