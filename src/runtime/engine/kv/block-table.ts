// The blocks of one row, in the order of its positions. Independent of tensors.

import type { BlockPool } from './block-pool.ts'
import { BLOCK_SIZE } from './kv-types.ts'

export const countBlocks = (positions: number): number => Math.ceil(positions / BLOCK_SIZE)

export class BlockTable {
  readonly #pool: BlockPool
  readonly #ids: number[] = []

  constructor(pool: BlockPool) {
    this.#pool = pool
  }

  get ids(): readonly number[] {
    return this.#ids
  }
  /** Positions that the blocks cover. */
  get room(): number {
    return this.#ids.length * BLOCK_SIZE
  }

  /**
   * Allocates blocks for this many positions in total. Returns false, and changes nothing, if there
   * are too few.
   */
  extend(positions: number): boolean {
    const lacking = countBlocks(positions) - this.#ids.length
    if (lacking > this.#pool.available) return false
    for (let i = 0; i < lacking; i++) this.#ids.push(this.#pool.allocate()!)
    return true
  }

  /** Releases blocks until this many positions remain covered. */
  shrink(positions: number): void {
    // the last first: of a prefix that stays cached, the end is evicted before the beginning
    const kept = countBlocks(positions)
    while (this.#ids.length > kept) this.#pool.release(this.#ids.pop()!)
  }

  /** Appends a block, taking over one reference to it. */
  adopt(id: number): void {
    this.#ids.push(id)
  }

  /** Shares the first `count` blocks with another table. */
  shareWith(other: BlockTable, count: number): void {
    for (const id of this.#ids.slice(0, count)) {
      this.#pool.retain(id)
      other.adopt(id)
    }
  }

  /** Replaces block `at` by a sealed block with the same contents. */
  replace(at: number, id: number): void {
    this.#pool.retain(id)
    this.#pool.release(this.#ids[at]!)
    this.#ids[at] = id
  }
}
