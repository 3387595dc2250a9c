// Sealed blocks by key: first in memory, then saved ones. Independent of rows and banks.

import { BlockPool } from './block-pool.ts'
import { BlockStorage } from './block-storage.ts'
import type { BlockTable } from './block-table.ts'
import type { KvShape, SavedPrefixes } from './kv-types.ts'
import { computeBlockLength } from './block-states.ts'
import { type KvElement, type KvValues, viewElementBytes } from './values.ts'

export class BlockCache {
  readonly pool: BlockPool
  readonly #storage: BlockStorage
  readonly #saved: SavedPrefixes | undefined
  #hits = 0
  #misses = 0

  constructor(
    shape: KvShape,
    element: KvElement,
    blocks: number,
    saved: SavedPrefixes | undefined,
  ) {
    this.pool = new BlockPool(blocks, (id) => this.#storage.remove(id))
    this.#storage = new BlockStorage(element, computeBlockLength(shape, element))
    this.#saved = saved
  }

  get sizeBytes(): number {
    return this.#storage.sizeBytes
  }
  get hits(): number {
    return this.#hits
  }
  get misses(): number {
    return this.#misses
  }

  countUse(hits: number, misses: number): void {
    this.#hits += hits
    this.#misses += misses
  }

  /** Leading keys that are cached. */
  count(keys: readonly string[]): number {
    const missing = keys.findIndex(
      (key) => this.pool.find(key) === undefined && !this.#saved?.has(key),
    )
    return missing < 0 ? keys.length : missing
  }

  /**
   * Whether a table of `blocks` blocks that begins with the cached ones of `keys` can be allocated.
   */
  hasRoom(keys: readonly string[], blocks: number): boolean {
    let shared = 0
    let idle = 0 // cached now, held then
    for (const key of keys.slice(0, this.count(keys))) {
      const id = this.pool.find(key)
      if (id === undefined) continue
      shared++
      if (this.pool.countHolders(id) === 0) idle++
    }
    return blocks - shared <= this.pool.available - idle
  }

  /** Gives a table the leading cached blocks of these keys; their number. */
  takeInto(table: BlockTable, keys: readonly string[]): number {
    const held = keys.slice(0, this.count(keys)).map((key) => this.pool.find(key))
    for (const id of held) if (id !== undefined) this.pool.retain(id)
    let taken = 0
    try {
      for (const [at, known] of held.entries()) {
        const id = known ?? this.#load(keys[at]!)
        if (id === undefined) break
        table.adopt(id)
        taken++
      }
    } finally {
      for (const id of held.slice(taken)) if (id !== undefined) this.pool.release(id)
    }
    this.save(keys.slice(0, taken))
    this.#saved?.touch(keys.slice(0, taken))
    return taken
  }

  /** The contents of a sealed block: a view. */
  read(id: number): KvValues {
    return this.#storage.get(id)
  }

  /** Seals block `at` of a table; `write` fills in the contents. */
  put(table: BlockTable, at: number, key: string, write: (block: KvValues) => void): void {
    const id = table.ids[at]!
    if (this.pool.isSealed(id)) return
    const known = this.pool.find(key)
    if (known === undefined) {
      write(this.#storage.add(id))
      this.pool.seal(id, key)
    } else table.replace(at, known)
  }

  save(keys: readonly string[]): void {
    const saved = this.#saved
    if (!saved) return
    // the end of the prefix first, because it is to be evicted first
    for (const key of keys.toReversed()) {
      if (this.pool.find(key) === undefined || saved.has(key)) continue
      saved.save(key, () => {
        const id = this.pool.find(key)
        return id === undefined ? undefined : viewElementBytes(this.#storage.get(id))
      })
    }
  }

  /** Forgets blocks whose keys begin with `mark`; resolves when saved ones are gone too. */
  async forget(mark: string): Promise<void> {
    this.pool.forget(mark, (id) => this.#storage.erase(id))
    await this.#saved?.forget(mark)
  }

  /** A saved block, into memory. */
  #load(key: string): number | undefined {
    const bytes = this.#saved?.read(key)
    if (bytes?.length !== this.#storage.blockBytes) return undefined
    const id = this.pool.allocate()
    if (id === undefined) return undefined
    viewElementBytes(this.#storage.add(id)).set(bytes)
    this.pool.seal(id, key)
    return id
  }
}
