// The engine's interface to keys and values: rows that are contiguous in banks, and a cache of
// blocks with which rows begin. Independent of queues, models and experts.

import type { Tensor } from '../../../base/tensor.ts'
import type { CacheShape } from '../../../graph/cache-shape.ts'
import type { KvElement } from './values.ts'

/** Positions in a block. */
export const BLOCK_SIZE = 16

/** The size of one position's keys and values, and of a row's states. */
export type KvShape = CacheShape

/**
 * The keys and values of one running sequence. A live view: bank, index and length change while
 * rows join, grow and leave. Slot s of a row has the token at position s.
 */
export interface KvRow {
  readonly bank: Bank
  readonly index: number
  /** Positions held. */
  readonly length: number
  /** Positions that blocks are reserved for; `append` may fill up to here. */
  readonly room: number
  /** Whether the row takes part in decoding. */
  readonly ready: boolean
}

/** Rows of one group and one capacity, fed to a program as a prefix of its arrays. */
export interface Bank {
  readonly group: string
  /** Slots of a row, C. */
  readonly capacity: number
  /** By index; rows that are ready come first. */
  readonly rows: readonly KvRow[]
  readonly readyCount: number
  /**
   * past.<layer>.k and .v [count, K, C, d] and past.<state> [count, …] of the rows `from` … `from +
   * count` − 1: views, valid until a row joins, grows or leaves. Slots after a row's length hold
   * arbitrary finite values.
   */
  feeds(from: number, count: number): ReadonlyMap<string, Tensor>
}

export interface OpenRequest {
  /** Keys of the full blocks of the tokens, as far as they may come from the cache. */
  readonly keys: readonly string[]
  /** The most blocks to take from the cache; `countCached` returns how many there are. */
  readonly cached: number
  /** Positions to reserve. */
  readonly tokens: number
}

export interface KvStatistics {
  readonly blocks: {
    readonly capacity: number
    /** Referenced by rows. */
    readonly used: number
    /** Kept for later rows, referenced by none. */
    readonly cached: number
    readonly free: number
  }
  /** Blocks that rows began with. */
  readonly hits: number
  /** Blocks with a key that a row had to compute, because they were not cached. */
  readonly misses: number
  /** Blocks that were dropped from the cache, because a row needed the room. */
  readonly evictions: number
  /** Bytes of the banks' arrays. */
  readonly rowBytes: number
  /** Bytes of the blocks that are stored separately from rows. */
  readonly cacheBytes: number
}

export interface KvMemory {
  /** Banks with rows; one decode call each. */
  readonly banks: readonly Bank[]
  /** How many leading blocks of these keys are cached, in memory or saved; retains none of them. */
  countCached(keys: readonly string[]): number
  /**
   * A row that begins with the first `cached` blocks of `keys` and has room for `tokens` positions.
   * Undefined, and nothing is taken, if there are too few blocks or rows. Its length is the number
   * of positions from the cache: less than asked if a saved block was damaged. It is not ready: it
   * comes after the ready rows.
   */
  open(group: string, request: OpenRequest): KvRow | undefined
  /** The row takes part in decoding from now on. It may move to another bank. */
  markReady(row: KvRow): void
  /**
   * Reserves `count` more positions after the row's length. Returns false, and changes nothing, if
   * there are too few blocks. May move this row and others to another bank.
   */
  reserve(row: KvRow, count: number): boolean
  /**
   * Takes what a call computed, cache.<layer>.k and .v [N, K, T, d] and cache.<state>: row i of
   * `rows` takes the first counts[i] tokens of entry i.
   */
  append(
    rows: readonly KvRow[],
    outputs: ReadonlyMap<string, Tensor>,
    counts: readonly number[],
  ): void
  /**
   * Adds the row's full blocks to the cache, as far as `keys` go. For a model with states, only
   * those that the last `append` filled, because only their states are known.
   */
  publish(row: KvRow, keys: readonly string[]): void
  /** Saves those of these blocks that are cached in memory, where prefixes are saved. */
  save(keys: readonly string[]): void
  /**
   * Forgets the blocks of one tenant (`computeTenantMark`); resolves when saved ones are gone too.
   * Running rows keep theirs to their end.
   */
  forget(mark: string): Promise<void>
  /** Another row with the same contents; shares its full blocks. Undefined as with `open`. */
  fork(row: KvRow): KvRow | undefined
  /** Releases the row's blocks. Published ones stay cached. */
  close(row: KvRow): void
  readonly statistics: KvStatistics
}

/** Blocks that outlive the process. Writes run in the background; calls do not wait for them. */
export interface SavedPrefixes {
  has(key: string): boolean
  /** The block's bytes; undefined if it is missing or damaged. */
  read(key: string): Uint8Array | undefined
  /**
   * Marks the blocks of one prefix as used. The end of a prefix is evicted before its beginning.
   */
  touch(keys: readonly string[]): void
  /**
   * Queues a block to be saved. `take` is called in turn and returns its bytes, or undefined if the
   * block is gone; they are valid until the caller of `take` awaits something. The least recently
   * used blocks are evicted.
   */
  save(key: string, take: () => Uint8Array | undefined): void
  /** Removes the blocks whose keys begin with `mark`, also those that wait to be saved. */
  forget(mark: string): Promise<void>
  /** Resolves when every queued block is saved or has failed to be. */
  flush(): Promise<void>
}

export type { KvElement } from './values.ts'

export interface KvMemoryOptions {
  readonly shape: KvShape
  /** Blocks of 16 positions that rows and cache share. */
  readonly blocks: number
  /** Rows at a time, over all banks. */
  readonly maxRows: number
  /** Element type of rows and blocks; default 'f32'. */
  readonly element?: KvElement
  /**
   * Where blocks are saved for the next start: those that a second row began with, and those passed
   * to `save`.
   */
  readonly saved?: SavedPrefixes
}
