// What the engine sees of keys and values: rows that are contiguous in banks, and a cache of blocks
// from which rows begin. Independent of queues, models and experts.

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
   * count` − 1: views, valid until a row joins, grows or leaves. Slots behind a row's length hold
   * anything finite.
   */
  feeds(from: number, count: number): ReadonlyMap<string, Tensor>
}

export interface OpenRequest {
  /** Keys of the full blocks of the tokens, as far as they may come from the cache. */
  readonly keys: readonly string[]
  /** Blocks to take from the cache, at most; `countCached` returns how many there are. */
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
  /** Bytes of the blocks that are kept apart from rows. */
  readonly cacheBytes: number
}

export interface KvMemory {
  /** Banks with rows; one decode call each. */
  readonly banks: readonly Bank[]
  /** Leading blocks of these keys that are cached, in memory or saved; takes nothing. */
  countCached(keys: readonly string[]): number
  /**
   * A row that begins with the first `cached` blocks of `keys` and has room for `tokens` positions.
   * Undefined if blocks or rows are lacking; then nothing is taken. Its length is the number of
   * positions from the cache: less than asked if a saved block was damaged. It is not ready: it
   * comes after the ready rows.
   */
  open(group: string, request: OpenRequest): KvRow | undefined
  /** The row takes part in decoding from now on. It may move to another bank. */
  markReady(row: KvRow): void
  /**
   * Room for `count` more positions behind the row's length; false if blocks are lacking: nothing
   * has changed then. May move this row and others to another bank.
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
   * Keeps the row's full blocks in the cache, as far as `keys` go. Of a model with states, those
   * that the last `append` filled: the states behind a block are known then.
   */
  publish(row: KvRow, keys: readonly string[]): void
  /** Saves those of these blocks that are cached in memory, where prefixes are saved. */
  save(keys: readonly string[]): void
  /**
   * Forgets the blocks of one tenant (`computeTenantMark`); resolves when saved ones are gone too.
   * Rows that run keep theirs to their end.
   */
  forget(mark: string): Promise<void>
  /** Another row with the same contents; shares its full blocks. Undefined as with `open`. */
  fork(row: KvRow): KvRow | undefined
  /** Gives the row's blocks back. Published ones stay cached. */
  close(row: KvRow): void
  readonly statistics: KvStatistics
}

/** Blocks that outlive the process. Writing happens behind the calls, which do not wait for it. */
export interface SavedPrefixes {
  has(key: string): boolean
  /** The block's bytes; undefined if it is missing or damaged. */
  read(key: string): Uint8Array | undefined
  /** Blocks of one prefix were used. The end of a prefix makes room before its beginning. */
  touch(keys: readonly string[]): void
  /**
   * Saves a block when its turn comes: `take` gives its bytes then, or undefined if the block is
   * gone. The bytes are valid until `take`'s caller waits for something. Unused blocks make room.
   */
  save(key: string, take: () => Uint8Array | undefined): void
  /** Removes the blocks whose keys begin with `mark`, also those that wait to be saved. */
  forget(mark: string): Promise<void>
  /** Resolves when everything that was to be saved is, or cannot be. */
  flush(): Promise<void>
}

export type { KvElement } from './values.ts'

export interface KvMemoryOptions {
  readonly shape: KvShape
  /** Blocks of 16 positions that rows and cache share. */
  readonly blocks: number
  /** Rows at a time, over all banks. */
  readonly maxRows: number
  /** How rows and blocks are kept; 'f32' where it is left out. */
  readonly element?: KvElement
  /**
   * Where blocks are kept for the next start: those that a second row began with, and by `save`.
   */
  readonly saved?: SavedPrefixes
}
