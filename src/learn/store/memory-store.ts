// Users' items in memory: for tests, and where nothing needs to outlive the process.

import { StorageError } from '../../base/errors.ts'
import { type GivenOptions, number, readOptions, string } from '../../base/schema.ts'
import {
  checkItem,
  checkUser,
  checkItemVersion,
  type StoredItem,
  type UserStore,
} from './user-store.ts'

const memoryStoreFields = {
  /** Shown in errors. Default 'memory'. */
  name: string({ default: 'memory' }),
  /** Bytes of all items together; a `put` beyond it rejects with StorageError. Default Infinity. */
  limitBytes: number({ from: 0, to: Infinity, default: Infinity }),
}
export type MemoryStoreOptions = GivenOptions<typeof memoryStoreFields>

/** A store that lives as long as the process. */
export function createMemoryStore(options: MemoryStoreOptions = {}): UserStore {
  const { name, limitBytes } = readOptions('Memory store', options, memoryStoreFields)
  const users = new Map<string, Map<string, StoredItem>>()
  let versions = 0 // of all items together, so that none is used twice
  let usedBytes = 0
  const find = (user: string, item: string): StoredItem | undefined => {
    checkUser(user)
    checkItem(item)
    return users.get(user)?.get(item)
  }
  const drop = (user: string, item: string): void => {
    const items = users.get(user)
    usedBytes -= items?.get(item)?.bytes.length ?? 0
    items?.delete(item)
    if (items?.size === 0) users.delete(user)
  }
  return {
    name,
    get: async (user, item) => {
      const found = find(user, item)
      return found && { ...found, bytes: found.bytes.slice() }
    },
    put: async (user, item, bytes, expected) => {
      const found = find(user, item)
      checkItemVersion(name, user, item, found?.version, expected)
      const wanted = usedBytes - (found?.bytes.length ?? 0) + bytes.length
      if (wanted > limitBytes)
        throw new StorageError(
          `${name}: cannot be written: full, ${wanted} bytes are more than ${limitBytes}.`,
        )
      usedBytes = wanted
      const items = users.get(user) ?? new Map<string, StoredItem>()
      users.set(user, items.set(item, { bytes: bytes.slice(), version: ++versions }))
      return versions
    },
    list: async (user) => {
      checkUser(user)
      const items = [...(users.get(user) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
      return items.map(([item, { bytes, version }]) => ({ item, version, sizeBytes: bytes.length }))
    },
    delete: async (user, item, expected) => {
      checkItemVersion(name, user, item, find(user, item)?.version, expected)
      drop(user, item)
    },
    forget: async (user) => {
      checkUser(user)
      for (const item of [...(users.get(user)?.keys() ?? [])]) drop(user, item)
    },
    users: async () => [...users.keys()],
    close: async () => undefined,
  }
}
