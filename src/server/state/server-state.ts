// What a server keeps over a restart: keys, usage, and the experts that were loaded by requests.
// Users' tiers are kept in a UserStore. Independent of where it is kept.

import type { KeyStore } from '../keys/key-ring.ts'
import type { UsageStore } from '../usage/usage-row.ts'

/** An expert that a request loaded, and how to load it again. */
export interface LoadedExpertRecord {
  readonly name: string
  /** As the request gave it; it is checked again when it is loaded again. */
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
 * All of it. Every call rejects with StorageError where the store fails; nothing has changed then.
 */
export interface ServerState {
  readonly keys: KeyStore
  readonly usage: UsageStore
  readonly experts: LoadedExpertStore
  close(): Promise<void>
}
