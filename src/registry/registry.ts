// The contract of a registry of experts: named, versioned, content-addressed. The platform decides
// where it is stored: on Node in a folder with an index in SQLite.

import type { ExpertManifest } from './manifest/manifest-fields.ts'

/** One version of an expert. */
export interface RegisteredExpert {
  readonly id: string
  readonly version: string
  /** The root digest of its files (OMS 1.0): its content hash. */
  readonly hash: string
  readonly sizeBytes: number
  /** As ISO 8601. */
  readonly addedAt: string
  /** The manifest's tags, and those that were given to it here. */
  readonly tags: readonly string[]
  /** Channels that point to this version. */
  readonly channels: readonly string[]
  readonly manifest: ExpertManifest
}

/** A version, and where its files are. */
export interface ResolvedExpert extends RegisteredExpert {
  /** Where its files are; on Node what `loadAdapter` takes. */
  readonly location: string
}

export interface SearchQuery {
  /** Words, all of which must be found in id, name, description, tags, domains or examples. */
  readonly text?: string | undefined
  readonly tags?: readonly string[] | undefined
  readonly domain?: string | undefined
  /** The base's name or its content hash. */
  readonly base?: string | undefined
  /** A metric whose value must be at least this. */
  readonly score?: { readonly metric: string; readonly least: number } | undefined
  /** Versions are ordered by the cosine of their vectors to this one, of length 1. */
  readonly vector?: Float32Array | undefined
  /** Whose vectors are compared; those that experts were added with unless it is given. */
  readonly embedder?: string | undefined
  /** Results at most. Default 20. */
  readonly limit?: number | undefined
}

export interface SearchResult extends RegisteredExpert {
  /** The cosine of a search by meaning, from −1 to 1; undefined for one by words. */
  readonly similarity: number | undefined
}

export interface AddOptions {
  /** The name, where it is not the manifest's. */
  readonly id?: string | undefined
  readonly version?: string | undefined
  /** Channels that point to it from now on. */
  readonly channels?: readonly string[] | undefined
  /** Represents its description and examples in searches by meaning; of length 1. */
  readonly vector?: Float32Array | undefined
  /** Replaces the manifest of a folder that has none. */
  readonly manifest?: ExpertManifest | undefined
}

export interface RegistryChange {
  readonly type: 'added' | 'removed' | 'channel'
  readonly id: string
  readonly version: string
  readonly channel?: string | undefined
}

/** A version, and the vector that represents it. */
export interface ExpertVector {
  readonly id: string
  readonly version: string
  /** Of length 1. */
  readonly vector: Float32Array
}

/** `Source`: what an expert is added from; on Node the path of its folder. */
export interface Registry<Source = string> {
  readonly location: string
  /**
   * Copies an expert's folder into the registry. Throws ConflictError if the version exists with
   * other content; the same content again changes nothing.
   */
  add(folder: Source, options?: AddOptions): Promise<RegisteredExpert>
  /** `coder`, `coder@^1.2`, `coder@stable`, `coder@sha256:…`. Throws NotFoundError. */
  resolve(reference: string): Promise<ResolvedExpert>
  /** The newest version of each expert, or all versions of one. */
  list(id?: string): Promise<readonly RegisteredExpert[]>
  search(query: SearchQuery): Promise<readonly SearchResult[]>
  /** Newest versions of which an embedder has left no vector. */
  listWithoutVector(embedder: string): Promise<readonly RegisteredExpert[]>
  /** Keeps an embedder's vectors with the versions; missing versions are left out. */
  setVectors(embedder: string, vectors: readonly ExpertVector[]): Promise<void>
  /** Lets a channel point to a version; undefined takes the channel away. */
  setChannel(id: string, channel: string, version: string | undefined): Promise<void>
  /** Adds and removes tags besides the manifest's. */
  tag(
    reference: string,
    change: { add?: readonly string[]; remove?: readonly string[] },
  ): Promise<RegisteredExpert>
  /** Compares an expert's files with its content hash. Throws SignatureError with what differs. */
  verify(reference: string): Promise<RegisteredExpert>
  /** Removes a version; its files go with the last version that has them. */
  remove(reference: string): Promise<RegisteredExpert>
  /** Removes what no version refers to and what ended processes left; returns the bytes freed. */
  collectGarbage(): Promise<number>
  /** Changes by any process, until the signal ends it. */
  watch(signal: AbortSignal): AsyncIterable<RegistryChange>
  close(): Promise<void>
}
