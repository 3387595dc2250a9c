// Dot products of int16 queries with stored int8 rows. Rows live on the JS heap; one shared
// WebAssembly arena caches the rows of the store that was queried last, so that its memory does not
// grow with the number of users. Independent of tokens and users.

import { type Arena, createArena } from '../kernels/arena.ts'

const lanes = 16
const together = 4 // queries that share a pass over the rows
const chunk = 1024 // rows a call: their sums stay in the L1 cache

interface ArenaCache {
  readonly arena: Arena
  /** The store whose rows are in the arena, and how many of them are up to date there. */
  resident: object | undefined
  fresh: number
}

const createArenaCache = (arena: Arena): ArenaCache => ({ arena, resident: undefined, fresh: 0 })
let shared: ArenaCache | undefined

export class RowStore {
  /** Numbers of a row, a multiple of 16: zeros beyond the vector's length. */
  readonly stride: number
  readonly #cache: ArenaCache
  #rows = new Int8Array(0)

  /**
   * Rows of vectors of this width, over the fastest kernels available, or over the arena that is
   * given.
   */
  constructor(width: number, arena?: Arena) {
    this.stride = Math.ceil(width / lanes) * lanes
    this.#cache = arena ? createArenaCache(arena) : (shared ??= createArenaCache(createArena()))
  }

  /** Makes room for `count` rows; existing rows stay. */
  grow(count: number): void {
    if (count * this.stride <= this.#rows.length) return
    const wider = new Int8Array(count * this.stride)
    wider.set(this.#rows)
    this.#rows = wider
  }

  /** A row to read or to write, [stride]; after writing call `markChanged`. */
  row(at: number): Int8Array {
    return this.#rows.subarray(at * this.stride, (at + 1) * this.stride)
  }

  markChanged(at: number): void {
    if (this.#cache.resident !== this) return
    if (at >= this.#cache.fresh) return // not cached yet
    new Int8Array(
      this.#cache.arena.memory.buffer,
      this.#rowsAt + at * this.stride,
      this.stride,
    ).set(this.row(at))
  }

  /**
   * Σ row·query for `queries` [Q, stride] and the first `count` rows: integers, sums [Q, count].
   */
  products(queries: Int16Array, count: number, sums: Int32Array): void {
    this.#loadRows(count)
    const { arena } = this.#cache
    const total = queries.length / this.stride
    for (let q = 0; q < total; q += together) {
      const own = Math.min(together, total - q)
      new Int16Array(arena.memory.buffer, 0, own * this.stride).set(
        queries.subarray(q * this.stride, (q + own) * this.stride),
      )
      if (own === together) this.#multiplyBlock(together, count, sums, q * count)
      else
        for (let single = 0; single < own; single++)
          this.#multiplyBlock(1, count, sums, (q + single) * count, 2 * this.stride * single)
    }
  }

  get #sumsAt(): number {
    return 2 * together * this.stride
  }

  get #rowsAt(): number {
    return this.#sumsAt + 4 * together * chunk
  }

  #multiplyBlock(queries: 1 | 4, count: number, sums: Int32Array, into: number, queryAt = 0): void {
    const { kernels, memory } = this.#cache.arena
    for (let start = 0; start < count; start += chunk) {
      const rows = Math.min(chunk, count - start)
      kernels[queries === 1 ? 'products' : 'productsOfFour'](
        queryAt,
        this.#rowsAt + start * this.stride,
        rows,
        this.stride,
        this.#sumsAt,
      )
      for (let q = 0; q < queries; q++)
        sums.set(
          new Int32Array(memory.buffer, this.#sumsAt + 4 * rows * q, rows),
          into + q * count + start,
        )
    }
  }

  /** Copies rows into the arena that are not cached yet. */
  #loadRows(count: number): void {
    const cache = this.#cache
    if (cache.resident !== this) Object.assign(cache, { resident: this, fresh: 0 })
    if (cache.fresh >= count) return
    cache.arena.memory.reserve(this.#rowsAt + count * this.stride)
    const from = cache.fresh * this.stride
    const to = count * this.stride
    new Int8Array(cache.arena.memory.buffer, this.#rowsAt + from, to - from).set(
      this.#rows.subarray(from, to),
    )
    cache.fresh = count
  }
}
