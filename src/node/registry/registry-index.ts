// The contract of a registry's index: versions, channels, and content that is being added. It is
// stored in SQLite next to the content, or in Postgres for several machines.

import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import type { ExpertVector, RegisteredExpert, RegistryChange } from '../../registry/registry.ts'
import type { SearchIndex } from '../../registry/search.ts'

export interface NewExpert {
  readonly id: string
  readonly version: string
  readonly hash: string
  readonly sizeBytes: number
  readonly addedAt: string
  readonly manifest: ExpertManifest
  readonly channels: readonly string[]
  readonly vector: Float32Array | undefined
}

export interface IndexedExpert extends RegisteredExpert {
  readonly vector: Float32Array | undefined
}

/** A plain value if the index is a file of this machine, else a promise. */
export type Soon<T> = T | Promise<T>

/** Every change is one transaction. */
export interface RegistryIndex {
  /**
   * Content of this hash must not be removed until `endPending`, although no version has it yet.
   */
  startPending(hash: string): Soon<void>
  endPending(hash: string): Soon<void>
  /** Adds a version, or finds the same. Throws ConflictError if it has other content. */
  add(expert: NewExpert): Soon<void>
  setChannel(id: string, channel: string, version: string | undefined): Soon<void>
  setTags(id: string, version: string, tags: readonly string[]): Soon<void>
  remove(id: string, version: string): Soon<void>
  /**
   * Detaches content that no version has, within a lock, so that no version can start to use it.
   */
  detachUnneeded(hashes: readonly string[], detach: (hash: string) => Soon<void>): Soon<void>
  listVersions(id: string): Soon<IndexedExpert[]>
  listIds(): Soon<string[]>
  readChannels(id: string): Soon<Record<string, string>>
  /** Keeps vectors of existing versions. */
  setVectors(embedder: string, vectors: readonly ExpertVector[]): Soon<void>
  /** Changes after a position, and the newest position. */
  readChanges(after: number): Soon<{ readonly changes: RegistryChange[]; readonly place: number }>
  readonly newestPlace: Soon<number>
}

/** The newest version of every expert, read again when the index has changed. */
export interface RegistryView {
  /** In the order of their names. */
  readonly newest: Soon<readonly IndexedExpert[]>
  /** The rows that are searched, with the vectors of an embedder; default: those of `add`. */
  getIndex(embedder?: string): Soon<SearchIndex>
}
