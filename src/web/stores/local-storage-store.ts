// Users' items in localStorage, as base64: at most some megabytes in total, and every call blocks
// the page. Prefer IndexedDB; this store is for small states where IndexedDB is not allowed.
// Independent of the bytes' meaning.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import {
  absentVersion,
  checkItem,
  checkUser,
  checkItemVersion,
  computeNextVersion,
  type StoredItem,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { toBrowserStorageError } from './storage-errors.ts'
import { waitForLatest, runExclusively } from './tab-lock.ts'

/**
 * A store in the entries `<prefix>/<user>/<item>` of this site's localStorage. The Web Locks API
 * serialises writes of several tabs. Browsers offer it only to pages from https or this machine;
 * throws UnsupportedError elsewhere, because an unserialised write could lose a state.
 */
export function createLocalStorageStore(prefix = 'graft-users'): UserStore {
  const name = `localStorage ${prefix}`
  if (typeof navigator === 'undefined' || navigator.locks === undefined)
    throw new UnsupportedError(
      `${name}: tabs cannot take turns without Web Locks, which pages get only over https or from this machine.`,
    )
  const { keyOf, keysFrom, read, startOf, versionOf, write } = createEntries(name, prefix)
  return {
    name,
    get: async (user, item) => {
      const key = keyOf(user, item)
      await waitForLatest(key, () => versionOf(key))
      return read(key)
    },
    put: async (user, item, bytes, expected) => {
      const key = keyOf(user, item)
      const own = bytes.slice() // turns may come late
      return write(user, key, (found) => {
        checkItemVersion(name, user, item, found, expected)
        const version = computeNextVersion(found === absentVersion ? undefined : found, Math.random)
        runGuarded(`${name}: cannot be written`, () =>
          localStorage.setItem(key, `${version} ${encodeBase64(own)}`),
        )
        return version
      })
    },
    list: async (user) => {
      const start = startOf(user)
      return keysFrom(start).map((key) => {
        const { bytes, version } = read(key)!
        return { item: key.slice(start.length), version, sizeBytes: bytes.length }
      })
    },
    delete: async (user, item, expected) => {
      const key = keyOf(user, item)
      await write(user, key, (found) => {
        checkItemVersion(name, user, item, found, expected)
        localStorage.removeItem(key)
        return absentVersion
      })
    },
    forget: async (user) => {
      for (const key of keysFrom(startOf(user)))
        await write(user, key, () => (localStorage.removeItem(key), absentVersion))
    },
    users: async () => {
      const names = keysFrom(`${prefix}/`).map((key) =>
        decodeURIComponent(key.slice(prefix.length + 1).split('/')[0]!),
      )
      return [...new Set(names)]
    },
    close: async () => undefined,
  }
}

/** The entries of a store as this tab sees them, and serialised writes. */
function createEntries(name: string, prefix: string) {
  const startOf = (user: string): string => {
    checkUser(user)
    return `${prefix}/${encodeURIComponent(user)}/`
  }
  const keyOf = (user: string, item: string): string => {
    checkItem(item)
    return startOf(user) + item
  }
  const read = (key: string): StoredItem | undefined => {
    const text = runGuarded(`${name}: cannot be read`, () => localStorage.getItem(key))
    return text === null ? undefined : decodeEntry(key, text)
  }
  const versionOf = (key: string): number => read(key)?.version ?? absentVersion
  const write = (user: string, key: string, work: (found: number) => number): Promise<number> =>
    runExclusively(
      `${prefix}/${user}`,
      key,
      () => versionOf(key),
      () => work(versionOf(key)),
    )
  const keysFrom = (start: string): string[] =>
    runGuarded(`${name}: cannot be read`, () =>
      Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i)!),
    )
      .filter((key) => key.startsWith(start))
      .sort()
  return { keyOf, keysFrom, read, startOf, versionOf, write }
}

function runGuarded<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw toBrowserStorageError(what, cause)
  }
}

const charactersAtOnce = 0x8000 // arguments of one call; more overflow the stack in some browsers

function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += charactersAtOnce)
    text += String.fromCharCode(...bytes.subarray(i, i + charactersAtOnce))
  return btoa(text)
}

function decodeEntry(key: string, text: string): StoredItem {
  const match = /^(\d{1,16}) ([A-Za-z0-9+/]*={0,2})$/.exec(text)
  try {
    if (match)
      return {
        version: Number(match[1]),
        bytes: Uint8Array.from(atob(match[2]!), (character) => character.charCodeAt(0)),
      }
  } catch {
    // refused below
  }
  throw new FormatError(
    `localStorage: the entry ${quoteName(key)} is none of Graft's or was changed; remove it to continue.`,
  )
}
