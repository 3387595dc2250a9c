// A bank: the rows of one group and one capacity, at indices 0 … n − 1 without a gap. Rows that
// decode come before the others. Independent of blocks and of other banks.

import { assertInternal } from '../../../base/errors.ts'
import type { Tensor } from '../../../base/tensor.ts'
import type { BlockTable } from './block-table.ts'
import type { Bank, KvRow, KvShape } from './kv-types.ts'
import type { EntryPlace } from './row-arrays.ts'
import { type BlockStates, RowContents } from './row-contents.ts'
import type { KvElement } from './values.ts'

/** A row as its bank sees it. */
export class BankRow implements KvRow {
  readonly table: BlockTable
  bank: RowBank
  index = -1
  length = 0
  ready = false
  /** Leading blocks that are in the cache. */
  published = 0
  /** Contains NaN or infinity, which must not reach a later row. */
  sick = false
  /** For each block that the last `append` filled, the states after it. */
  readonly blockStates: BlockStates = new Map()

  /** `bank` has yet to take the row. */
  constructor(table: BlockTable, bank: RowBank) {
    this.table = table
    this.bank = bank
  }

  get room(): number {
    return this.table.room
  }

  /**
   * Whether a block can be shared. For a model with states, those after the block must be known.
   */
  canShare(block: number): boolean {
    return !this.bank.contents.hasStates || this.blockStates.has(block)
  }
}

export class RowBank implements Bank {
  readonly group: string
  readonly contents: RowContents
  /** Calls since the last row left. */
  idleCalls = 0
  readonly #rows: BankRow[] = []
  #readyCount = 0

  constructor(group: string, shape: KvShape, element: KvElement, capacity: number) {
    this.group = group
    this.contents = new RowContents(shape, element, capacity)
  }

  get capacity(): number {
    return this.contents.arrays.capacity
  }
  get rows(): readonly BankRow[] {
    return this.#rows
  }
  get readyCount(): number {
    return this.#readyCount
  }

  feeds(from: number, count: number): ReadonlyMap<string, Tensor> {
    assertInternal(
      from >= 0 && count > 0 && from + count <= this.#rows.length,
      `rows ${from} … ${from + count - 1} of a bank of ${this.#rows.length} are fed`,
    )
    return this.contents.feeds(from, count)
  }

  /**
   * Allocates room for more rows. Throws RangeError, and changes nothing, if there is no memory.
   */
  makeRoom(rows = 1): void {
    this.contents.allocate(this.#rows.length + rows)
  }

  /** Whether `widen` works. NaN or infinity must not remain after the end of a row. */
  canWiden(capacity: number): boolean {
    return this.contents.arrays.canWiden(capacity) && !this.#rows.some(({ sick }) => sick)
  }

  /** Gives all rows more slots. */
  widen(capacity: number): void {
    this.contents.arrays.widen(
      capacity,
      this.#rows.map(({ length }) => length),
    )
  }

  /** Takes a row whose contents are written afterwards. */
  add(row: BankRow): void {
    this.makeRoom()
    const end = this.#rows.length
    const first = this.#rows[this.#readyCount]
    if (row.ready && first) this.#move(first, end)
    this.#put(row, row.ready ? this.#readyCount : end)
    this.contents.reset(row.index)
    if (row.ready) this.#readyCount++
  }

  /** Takes a row of another bank with its contents. */
  take(row: BankRow): void {
    const { bank, index } = row
    this.add(row)
    this.contents.copyRowFrom(bank.contents, index, row.index, row.length)
    bank.#close(row, index)
  }

  /** Removes the row; the last rows move into its place. */
  remove(row: BankRow): void {
    this.#close(row, row.index)
  }

  /** Makes the row take part in decoding: it swaps places with the first row that does not. */
  markReady(row: BankRow): void {
    if (row.ready) return
    const first = this.#rows[this.#readyCount]!
    if (first !== row) {
      const { index } = row
      this.contents.swapRows(index, first.index, Math.max(row.length, first.length))
      this.#put(row, first.index)
      this.#put(first, index)
    }
    row.ready = true
    this.#readyCount++
  }

  /** Takes tokens of a call's entries for rows of this bank. */
  append(outputs: ReadonlyMap<string, Tensor>, places: readonly EntryPlace[]): void {
    for (const place of places)
      this.contents.collectBlockStates(outputs, place, this.#rows[place.row]!.blockStates)
    this.contents.append(outputs, places)
    for (const { row: index, position, count } of places) {
      const row = this.#rows[index]!
      row.length = position + count
      if (!this.contents.isFinite(index, position, count)) row.sick = true
    }
  }

  /** Fills the place that a row has left. */
  #close(row: BankRow, index: number): void {
    if (row.sick) this.contents.arrays.clear(index)
    let hole = index
    if (row.ready) {
      const last = this.#rows[--this.#readyCount]!
      if (hole !== this.#readyCount) this.#move(last, hole)
      hole = this.#readyCount
    }
    const end = this.#rows.length - 1
    if (hole !== end) this.#move(this.#rows[end]!, hole)
    this.#rows.pop()
  }

  #move(row: BankRow, index: number): void {
    this.contents.copyRowFrom(this.contents, row.index, index, row.length)
    if (row.sick) this.contents.arrays.clear(row.index)
    this.#put(row, index)
  }

  #put(row: BankRow, index: number): void {
    row.bank = this
    row.index = index
    this.#rows[index] = row
  }
}
