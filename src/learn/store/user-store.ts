// Where the states of many users lie: named items of bytes for each user, each with a version. One
// contract, a backend for each place. Knows neither a platform nor what the bytes mean.

import { ConflictError, OptionError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'

export interface StoredItem {
  /** The caller's own copy. */
  readonly bytes: Uint8Array
  readonly version: number
}

export interface ItemInfo {
  readonly item: string
  readonly version: number
  readonly sizeBytes: number
}

/** As the expected version of a `put`: there must be no such item yet. */
export const absentVersion = 0

/**
 * Items of bytes by user and name. A write is there whole or not at all, for every reader in every
 * process. Every `put` gives the item a higher version, and a version does not come back when its
 * item is deleted and made anew; so a writer who names the version it read loses nobody's work.
 *
 * Every call rejects with OptionError for a user's or an item's name that `checkUser` or
 * `checkItem` refuses, and with StorageError where the place fails: full, a quota reached, no
 * permission, closed. Then nothing has changed.
 */
export interface UserStore {
  /** Shown in errors. */
  readonly name: string
  get(user: string, item: string): Promise<StoredItem | undefined>
  /**
   * Writes and gives the new version. With `expected` (a version, or `absent`), rejects with
   * ConflictError where the item is at another one.
   */
  put(user: string, item: string, bytes: Uint8Array, expected?: number): Promise<number>
  /** A user's items in the order of their names; none for a user nobody knows. */
  list(user: string): Promise<ItemInfo[]>
  /** Removes an item; does nothing where there is none, unless a version of it was expected. */
  delete(user: string, item: string, expected?: number): Promise<void>
  /** Removes everything of a user, the name included. */
  forget(user: string): Promise<void>
  /** Everybody who has an item. */
  users(): Promise<string[]>
  close(): Promise<void>
}

const longestUserBytes = 256
const itemPattern = /^[a-z0-9][a-z0-9.-]{0,63}$/

/**
 * A user's name is any text of 1 to 256 bytes in UTF-8: a backend maps it to whatever its place
 * allows, so path parts are harmless. Throws OptionError for others, and for half a surrogate pair,
 * which UTF-8 cannot hold: two such users would become one.
 */
export function checkUser(user: string): void {
  if (typeof user !== 'string')
    throw new OptionError(`A user's name is a text; got ${typeof user}.`)
  const refuse = (problem: string): never => {
    throw new OptionError(
      `A user's name has 1 to ${longestUserBytes} bytes; ${problem}. Use a hash or a key of your own for the user.`,
    )
  }
  if (user === '') refuse('got none')
  if (user.length > longestUserBytes)
    // at least a byte each
    refuse(`${quoteName(user.slice(0, 40))} … has ${user.length} characters`)
  const sizeBytes = new TextEncoder().encode(user).length
  if (sizeBytes > longestUserBytes) refuse(`${quoteName(user.slice(0, 40))} … takes ${sizeBytes}`)
  if (!user.isWellFormed()) refuse(`${quoteName(user)} holds half a surrogate pair`)
}

/**
 * An item's name is ours: small letters, digits, dots and hyphens, so that it is a file name
 * everywhere. Throws OptionError for others.
 */
export function checkItem(item: string): void {
  if (!itemPattern.test(item))
    throw new OptionError(
      `An item's name has 1 to 64 of the characters a–z, 0–9, "." and "-"; got ${quoteName(String(item))}.`,
    )
}

/**
 * Throws ConflictError where `found` (undefined: there is none) is not the version that the writer
 * expects (undefined: any will do).
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
      `somebody else wrote in between. Nothing was changed; read it again and write on top of that.`,
  )
}

/**
 * The version after `current`; the first is drawn from 2⁴⁸, so that no version of a deleted item
 * comes back. `random` gives numbers in [0, 1).
 */
export const computeNextVersion = (current: number | undefined, random: () => number): number =>
  current === undefined ? 1 + Math.floor(random() * 2 ** 48) : current + 1
