// The contract of a store for many users: named items of bytes for each user, each with a version.
// Independent of platforms and of what the bytes mean.

import { ConflictError, OptionError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'

export interface StoredItem {
  /** A copy for the caller. */
  readonly bytes: Uint8Array
  readonly version: number
}

export interface ItemInfo {
  readonly item: string
  readonly version: number
  readonly sizeBytes: number
}

/** Expected version of a `put`: the item must not exist yet. */
export const absentVersion = 0

/**
 * Items of bytes by user and name. Writes are atomic for every reader in every process. Every `put`
 * gives the item a higher version, and no version is used again after its item was deleted, so that
 * a writer that passes the version it read cannot overwrite a later one.
 *
 * Every call rejects with OptionError for a user's or an item's name that `checkUser` or
 * `checkItem` refuses, and with StorageError where the store fails: full, a quota reached, no
 * permission, closed. Then nothing has changed.
 */
export interface UserStore {
  /** Shown in errors. */
  readonly name: string
  get(user: string, item: string): Promise<StoredItem | undefined>
  /**
   * Writes and returns the new version. With `expected` (a version, or 0 for a new item), rejects
   * with ConflictError if the item has another one.
   */
  put(user: string, item: string, bytes: Uint8Array, expected?: number): Promise<number>
  /** A user's items in the order of their names; none for an unknown user. */
  list(user: string): Promise<ItemInfo[]>
  /** Removes an item; does nothing if it does not exist, unless a version was expected. */
  delete(user: string, item: string, expected?: number): Promise<void>
  /** Removes everything of a user, including the name. */
  forget(user: string): Promise<void>
  /**
   * Overwrites what was deleted or replaced, where the place keeps such bytes, as SQLite's log
   * does; called after `forget`, and where a turn was unlearned.
   */
  purge?(): Promise<void>
  /** All users with an item. */
  users(): Promise<string[]>
  close(): Promise<void>
}

const maxUserBytes = 256
const itemPattern = /^[a-z0-9][a-z0-9.-]{0,63}$/

/**
 * A user's name is any string of 1 to 256 bytes in UTF-8: no store uses it as a path, so path parts
 * are harmless. Throws OptionError for others, and for half a surrogate pair, because UTF-8 cannot
 * hold it and two such users would become one.
 */
export function checkUser(user: string): void {
  if (typeof user !== 'string')
    throw new OptionError(`A user's name: got ${typeof user}, expected a string.`)
  const refuse = (problem: string): never => {
    throw new OptionError(
      `A user's name has 1 to ${maxUserBytes} bytes; ${problem}. Use a hash or a key of the user.`,
    )
  }
  if (user === '') refuse('got an empty string')
  if (user.length > maxUserBytes)
    // at least one byte each
    refuse(`${quoteName(user.slice(0, 40))} … has ${user.length} characters`)
  const sizeBytes = new TextEncoder().encode(user).length
  if (sizeBytes > maxUserBytes) refuse(`${quoteName(user.slice(0, 40))} … takes ${sizeBytes}`)
  if (!user.isWellFormed()) refuse(`${quoteName(user)} contains half a surrogate pair`)
}

/**
 * An item's name: small letters, digits, dots and hyphens, so that it is a valid file name
 * everywhere. Throws OptionError for others.
 */
export function checkItem(item: string): void {
  if (!itemPattern.test(item))
    throw new OptionError(
      `An item's name has 1 to 64 of the characters a–z, 0–9, "." and "-"; got ${quoteName(String(item))}.`,
    )
}

/**
 * Throws ConflictError if `found` (undefined: no such item) is not the version that the writer
 * expects (undefined: any).
 */
export function checkItemVersion(
  place: string,
  user: string,
  item: string,
  found: number | undefined,
  expected: number | undefined,
): void {
  if (expected === undefined || (found ?? absentVersion) === expected) return
  const shown = (version: number): string =>
    version === absentVersion ? 'not there' : `at version ${version}`
  throw new ConflictError(
    `${place}: ${item} of user ${quoteName(user)} is ${shown(found ?? absentVersion)}, expected it ${shown(expected)}: ` +
      `another process wrote in between. Nothing was changed; read it again and write on top of that.`,
  )
}

/**
 * The version after `current`; the first is drawn from 2⁴⁸ values, so that no version of a deleted
 * item is used again. `random` returns numbers in [0, 1).
 */
export const computeNextVersion = (current: number | undefined, random: () => number): number =>
  current === undefined ? 1 + Math.floor(random() * 2 ** 48) : current + 1
