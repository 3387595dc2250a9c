// The ids of blocks: reference counts, blocks cached for later rows, free blocks. Independent of
// tensors and of queues. A block with a key is sealed: its contents never change.

import { assertInternal } from '../../../base/errors.ts'
import { IdQueue } from './id-queue.ts'

export class BlockPool {
  readonly capacity: number
  readonly #references: Uint32Array
  readonly #keys: (string | undefined)[]
  readonly #ids = new Map<string, number>()
  readonly #free: number[] = []
  readonly #onEvict: (id: number) => void
  /** Sealed blocks without a holder, the longest unused first. */
  readonly #idle: IdQueue
  #untouched = 0 // ids from here on were never used
  #evictions = 0

  /** `onEvict` is called for every sealed block that is evicted. */
  constructor(capacity: number, onEvict: (id: number) => void = () => {}) {
    this.capacity = capacity
    this.#references = new Uint32Array(capacity)
    this.#keys = new Array<string | undefined>(capacity).fill(undefined)
    this.#idle = new IdQueue(capacity)
    this.#onEvict = onEvict
  }

  /** Sealed blocks without a holder. */
  get cached(): number {
    return this.#idle.size
  }
  get free(): number {
    return this.#free.length + this.capacity - this.#untouched
  }
  /** Blocks with a holder. */
  get used(): number {
    return this.capacity - this.available
  }
  /** How many times `allocate` would succeed. */
  get available(): number {
    return this.free + this.cached
  }
  get evictions(): number {
    return this.#evictions
  }

  /** A block of one holder, unsealed; undefined if every block is held. */
  allocate(): number | undefined {
    const id = this.#free.pop() ?? this.#takeUntouched() ?? this.#evict()
    if (id !== undefined) this.#references[id] = 1
    return id
  }

  /** One more holder. */
  retain(id: number): void {
    const holders = this.countHolders(id)
    if (holders === 0) {
      assertInternal(this.isSealed(id), `block ${id} is retained, but it is free`)
      this.#idle.remove(id)
    }
    this.#references[id] = holders + 1
  }

  /**
   * Removes one holder. A block without holders stays cached if it is sealed, and becomes free
   * otherwise.
   */
  release(id: number): void {
    const holders = this.countHolders(id)
    assertInternal(holders > 0, `block ${id} is released, but nothing uses it`)
    this.#references[id] = holders - 1
    if (holders > 1) return
    if (this.isSealed(id)) this.#idle.add(id)
    else this.#free.push(id)
  }

  /** Gives a held block its key. False if another block has this key; nothing changes then. */
  seal(id: number, key: string): boolean {
    assertInternal(this.countHolders(id) > 0, `block ${id} is sealed, but nothing uses it`)
    assertInternal(!this.isSealed(id), `block ${id} is sealed twice`)
    if (this.#ids.has(key)) return false
    this.#keys[id] = key
    this.#ids.set(key, id)
    return true
  }

  /** The sealed block of a key; does not retain it. */
  find(key: string): number | undefined {
    return this.#ids.get(key)
  }

  /**
   * Unseals the blocks whose keys begin with `mark`, and calls `onGone` for each. Held blocks
   * become free when their last holder releases them.
   */
  forget(mark: string, onGone: (id: number) => void): void {
    for (const [key, id] of this.#ids) {
      if (!key.startsWith(mark)) continue
      this.#ids.delete(key)
      this.#keys[id] = undefined
      if (this.countHolders(id) === 0) {
        this.#idle.remove(id)
        this.#free.push(id)
      }
      onGone(id)
    }
  }

  isSealed(id: number): boolean {
    return this.#keys[id] !== undefined
  }

  countHolders(id: number): number {
    const holders = this.#references[id]
    assertInternal(holders !== undefined, `there is no block ${id} among ${this.capacity}`)
    return holders
  }

  #takeUntouched(): number | undefined {
    return this.#untouched < this.capacity ? this.#untouched++ : undefined
  }

  #evict(): number | undefined {
    const id = this.#idle.first
    if (id === undefined) return undefined
    this.#idle.remove(id)
    this.#ids.delete(this.#keys[id]!)
    this.#keys[id] = undefined
    this.#evictions++
    this.#onEvict(id)
    return id
  }
}
