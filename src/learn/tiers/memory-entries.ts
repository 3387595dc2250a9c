// Entries of one user's memory in arrays that grow: hidden states in int8, the token that followed
// each, and a usefulness score. Independent of retrieval.

import { assertInternal } from '../../base/errors.ts'
import { RowStore } from './row-store.ts'

/** Largest magnitude of a stored integer. */
export const ROW_MAX = 127

/** Entries as they are saved: rows of integers [n, D], their tokens and usefulness scores. */
export interface SavedEntries {
  readonly rows: Int8Array
  readonly tokens: Int32Array
  readonly usefulness: Float32Array
}

/**
 * Entries as they were when it was taken. It has copies of the rows that were replaced since; the
 * other rows are shared with the memory, so that it takes a few bytes for each entry.
 */
export interface EntriesSnapshot {
  readonly tokens: Int32Array
  readonly usefulness: Float32Array
  readonly replacedRows: ReadonlyMap<number, Int8Array>
}

const minAllocated = 256

/** A longer copy of an array. */
function copyInto<Values extends Float32Array | Int32Array>(
  values: Values,
  target: NoInfer<Values>,
): Values {
  target.set(values)
  return target
}

export class MemoryEntries {
  readonly width: number
  readonly capacity: number
  readonly rows: RowStore
  count = 0
  /** 1 / ‖row‖ of the stored integers, so that rounding leaves lengths at 1. */
  scales = new Float32Array(0)
  tokens = new Int32Array(0)
  usefulness = new Float32Array(0)
  #allocated = 0
  #snapshot: { taken: EntriesSnapshot; replacedRows: Map<number, Int8Array> } | undefined

  constructor(width: number, capacity: number) {
    this.width = width
    this.capacity = capacity
    this.rows = new RowStore(width)
  }

  /** Entries that there is room for without growing. */
  get allocated(): number {
    return this.#allocated
  }

  get sizeBytes(): number {
    return this.#allocated * (this.rows.stride + 12)
  }

  /**
   * Adds a state whose largest magnitude is given and the token that followed it, with a usefulness
   * of 1. Where the memory is full the entry with the lowest usefulness is replaced.
   */
  add(hidden: Float32Array, largest: number, token: number): void {
    const at = this.count < this.capacity ? this.count++ : this.#findLeastUseful()
    this.#reserve(this.count)
    this.#keepRow(at)
    const row = this.rows.row(at)
    let square = 0
    for (let i = 0; i < this.width; i++) {
      const value = Math.round((hidden[i]! / largest) * ROW_MAX)
      row[i] = value
      square += value * value
    }
    this.rows.markChanged(at)
    this.scales[at] = 1 / Math.sqrt(square)
    this.tokens[at] = token
    this.usefulness[at] = 1
  }

  #findLeastUseful(): number {
    let worst = 0
    for (let i = 1; i < this.count; i++)
      if (this.usefulness[i]! < this.usefulness[worst]!) worst = i
    return worst
  }

  /** Copies of what is saved. */
  state(): SavedEntries {
    const rows = new Int8Array(this.count * this.width)
    for (let i = 0; i < this.count; i++)
      rows.set(this.rows.row(i).subarray(0, this.width), i * this.width)
    return {
      rows,
      tokens: this.tokens.slice(0, this.count),
      usefulness: this.usefulness.slice(0, this.count),
    }
  }

  /** Replaces all entries; the caller has checked the lengths. */
  restore({ rows, tokens, usefulness }: SavedEntries): void {
    this.count = tokens.length
    this.#reserve(this.count)
    for (let i = 0; i < this.count; i++) {
      this.#keepRow(i)
      this.#writeRow(i, rows.subarray(i * this.width, (i + 1) * this.width))
    }
    this.tokens.set(tokens)
    this.usefulness.set(usefulness)
  }

  #writeRow(at: number, row: Int8Array): void {
    this.rows.row(at).set(row)
    this.rows.markChanged(at)
    const square = row.reduce((sum, value) => sum + value * value, 0)
    this.scales[at] = 1 / Math.sqrt(Math.max(1, square))
  }

  /** A snapshot; the one before can no longer be restored. */
  takeSnapshot(): EntriesSnapshot {
    const replacedRows = new Map<number, Int8Array>()
    const taken = {
      tokens: this.tokens.slice(0, this.count),
      usefulness: this.usefulness.slice(0, this.count),
      replacedRows,
    }
    this.#snapshot = { taken, replacedRows }
    return taken
  }

  /** Goes back to the last snapshot, which can be restored again later. */
  restoreSnapshot(snapshot: EntriesSnapshot): void {
    assertInternal(this.#snapshot?.taken === snapshot, 'a later snapshot of the memory was taken')
    const { tokens, usefulness, replacedRows } = snapshot
    for (const [at, row] of replacedRows) this.#writeRow(at, row)
    this.#snapshot.replacedRows.clear()
    this.count = tokens.length
    this.tokens.set(tokens)
    this.usefulness.set(usefulness)
  }

  /** Copies a row of the snapshot before it is replaced. */
  #keepRow(at: number): void {
    if (!this.#snapshot) return
    const { taken, replacedRows } = this.#snapshot
    if (at < taken.tokens.length && !replacedRows.has(at))
      replacedRows.set(at, this.rows.row(at).slice(0, this.width))
  }

  #reserve(count: number): void {
    if (count <= this.#allocated) return
    const size = Math.min(this.capacity, Math.max(minAllocated, count, this.#allocated * 2))
    this.#allocated = size
    this.rows.grow(size)
    this.scales = copyInto(this.scales, new Float32Array(size))
    this.tokens = copyInto(this.tokens, new Int32Array(size))
    this.usefulness = copyInto(this.usefulness, new Float32Array(size))
  }
}
