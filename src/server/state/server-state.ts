// What a server stores across restarts: keys, usage, and the experts that requests loaded. Users'
// tiers are in a UserStore. Independent of the place.

import type { KeyStore } from '../keys/key-ring.ts'
import type { UsageStore } from '../usage/usage-row.ts'

/** An expert that a request loaded, and how to load it again. */
export interface LoadedExpertRecord {
  readonly name: string
  /** The path that the request gave; it is checked again when it is reloaded. */
  readonly path: string
  readonly pinned: boolean
  /** ISO 8601. */
  readonly loadedAt: string
}

/** Experts by the base that they belong to: a server of another base has others. */
export interface LoadedExpertStore {
  /** In the order in which they were loaded. */
  list(base: string): Promise<readonly LoadedExpertRecord[]>
  /** Adds a record, or replaces the one of that name. */
  put(base: string, record: LoadedExpertRecord): Promise<void>
  delete(base: string, name: string): Promise<void>
}

/**
 * The whole state. Every call rejects with StorageError if the store fails; then nothing has
 * changed.
 */
export interface ServerState {
  readonly keys: KeyStore
  readonly usage: UsageStore
  readonly experts: LoadedExpertStore
  close(): Promise<void>
}
