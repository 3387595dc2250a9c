// The keys of a server: add, list, revoke, and find by what a request presents. Another process may
// change them at any time; the next request sees the change. Independent of the store.

import { NotFoundError, OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteName } from '../../formats/quote.ts'
import {
  type ApiKeyRecord,
  createApiKey,
  hashApiKey,
  isSameHash,
  type NewKeyOptions,
} from './api-key.ts'

/** Where the records of keys are kept. */
export interface KeyStore {
  /** All records, revoked ones included, in the order in which they were made. */
  list(): Promise<readonly ApiKeyRecord[]>
  /** Adds a record; false if the name exists. */
  add(record: ApiKeyRecord): Promise<boolean>
  /** Marks a record as revoked; false if the name does not exist. */
  revoke(name: string, revokedAt: string): Promise<boolean>
  /** A value that changes whenever a record may have changed, also by another process. */
  readVersion(): Promise<string | number>
}

export interface KeyRingParts {
  readonly store: KeyStore
  /** Random bytes from a secure source. */
  readonly random: (count: number) => Uint8Array
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Longer texts are not keys; they are not even hashed. */
const longestKey = 512

export class KeyRing {
  readonly #parts: KeyRingParts
  #records: readonly ApiKeyRecord[] = []
  #version: string | number | undefined

  constructor(parts: KeyRingParts) {
    this.#parts = parts
  }

  /**
   * Makes a key; `text` is returned only here. Throws OptionError for a name that was used before.
   */
  async add(options: NewKeyOptions): Promise<{ text: string; record: ApiKeyRecord }> {
    const { store, random } = this.#parts
    const key = createApiKey(options, random(32), this.#describeNow())
    if (await store.add(key.record)) return key
    const { revokedAt } = (await this.list()).find(({ name }) => name === key.record.name)!
    throw new OptionError(
      revokedAt === undefined
        ? `There is a key ${quoteName(options.name)} already. Choose another name, or revoke it first.`
        : `The key ${quoteName(options.name)} was revoked at ${revokedAt}, and its name stays in the usage rows. Choose another name.`,
    )
  }

  /** All records, including revoked ones. */
  async list(): Promise<readonly ApiKeyRecord[]> {
    await this.#refresh()
    return this.#records
  }

  /** Throws NotFoundError for a name without a key. Revoking twice changes nothing. */
  async revoke(name: string): Promise<ApiKeyRecord> {
    const { store } = this.#parts
    const before = (await this.list()).find((record) => record.name === name)
    if (before?.revokedAt !== undefined) return before
    if (!(await store.revoke(name, this.#describeNow()))) {
      const meant = findNearestName(
        name,
        this.#records.map((record) => record.name),
      )
      throw new NotFoundError(
        `There is no key ${quoteName(name)}.${meant === undefined ? '' : ` Did you mean ${quoteName(meant)}?`}`,
      )
    }
    return (await this.list()).find((record) => record.name === name)!
  }

  /** Whether any key was ever made: a server whose last key was revoked stays closed. */
  async hasKeys(): Promise<boolean> {
    await this.#refresh()
    return this.#records.length > 0
  }

  /** The record of a key's text; undefined for an unknown or revoked one. */
  async find(text: string): Promise<ApiKeyRecord | undefined> {
    await this.#refresh()
    if (text.length > longestKey) return undefined
    const hash = hashApiKey(text)
    // every record is compared, so that the time does not reveal which one matches
    let found: ApiKeyRecord | undefined
    for (const record of this.#records) if (isSameHash(record.hash, hash)) found = record
    return found?.revokedAt === undefined ? found : undefined
  }

  async #refresh(): Promise<void> {
    const version = await this.#parts.store.readVersion()
    if (version === this.#version) return
    this.#records = await this.#parts.store.list()
    this.#version = version
  }

  readonly #describeNow = (): string => new Date(this.#parts.now()).toISOString()
}
