// Users in memory by least recent use, with the bytes they take. Independent of stores.

import type { StateForm } from './state-image.ts'

export interface PoolEntry<Loaded> {
  loaded: Loaded
  /** How many callers are using it. */
  pins: number
  sizeBytes: number
  changes: number
  /** `changes` at the last save. */
  savedChanges: number
  /** The form of the newest checkpoint; undefined if there is none. */
  form: StateForm | undefined
}

export const isSaved = ({ changes, savedChanges }: PoolEntry<unknown>): boolean =>
  changes === savedChanges

export class PoolEntries<Loaded> {
  /** Bytes of all entries as last measured, and of users that are being loaded. */
  usedBytes = 0
  readonly #entries = new Map<string, PoolEntry<Loaded>>()

  /** The least recently used first. */
  get users(): string[] {
    return [...this.#entries.keys()]
  }

  get(user: string): PoolEntry<Loaded> | undefined {
    return this.#entries.get(user)
  }

  /** The least recently used first; entries may be removed meanwhile. */
  [Symbol.iterator](): IterableIterator<[string, PoolEntry<Loaded>]> {
    return this.#entries.entries()
  }

  /** Makes an entry the most recently used one, or adds it; its bytes are counted already. */
  touch(user: string, entry: PoolEntry<Loaded>): void {
    this.#entries.delete(user)
    this.#entries.set(user, entry)
  }

  resize(entry: PoolEntry<Loaded>, sizeBytes: number): void {
    this.usedBytes += sizeBytes - entry.sizeBytes
    entry.sizeBytes = sizeBytes
  }

  /** False if the user has another entry by now. */
  remove(user: string, entry: PoolEntry<Loaded>): boolean {
    if (this.#entries.get(user) !== entry) return false
    this.#entries.delete(user)
    this.usedBytes -= entry.sizeBytes
    return true
  }
}
