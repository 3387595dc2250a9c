// Memory for the keys and values of running sequences and of shared prefixes. Rows are in banks; a
// pool of blocks limits rows and cache together. Independent of queues, models and experts.

import { assertInternal } from '../../../base/errors.ts'
import type { Tensor } from '../../../base/tensor.ts'
import { BankGroup } from './bank-group.ts'
import { BankRow, type RowBank } from './bank.ts'
import { BlockCache } from './block-cache.ts'
import { BlockTable, countBlocks } from './block-table.ts'
import {
  type Bank,
  BLOCK_SIZE,
  type KvMemory,
  type KvMemoryOptions,
  type KvRow,
  type KvShape,
  type KvStatistics,
  type OpenRequest,
} from './kv-types.ts'
import type { EntryPlace } from './row-arrays.ts'
import type { KvElement } from './values.ts'

export type * from './kv-types.ts'

/** An empty memory; arrays are allocated when rows need them. */
export const createKvMemory = (options: KvMemoryOptions): KvMemory => new BankedMemory(options)

class BankedMemory implements KvMemory {
  readonly #shape: KvShape
  readonly #element: KvElement
  readonly #maxRows: number
  readonly #cache: BlockCache
  readonly #groups = new Map<string, BankGroup>()
  readonly #rows = new Set<BankRow>()
  readonly #retired: ArrayBuffer[] = []

  constructor({ shape, blocks, maxRows, element = 'f32', saved }: KvMemoryOptions) {
    this.#shape = shape
    this.#element = element
    this.#maxRows = maxRows
    this.#cache = new BlockCache(shape, element, blocks, saved)
  }

  get banks(): readonly Bank[] {
    return [...this.#groups.values()].flatMap((group) => group.banks)
  }

  get statistics(): KvStatistics {
    const groups = [...this.#groups.values()]
    const { pool, hits, misses } = this.#cache
    return {
      blocks: {
        capacity: pool.capacity,
        used: pool.used,
        cached: pool.cached,
        free: pool.free,
      },
      hits,
      misses,
      evictions: pool.evictions,
      rowBytes: groups.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      cacheBytes: this.#cache.sizeBytes,
    }
  }

  countCached(keys: readonly string[]): number {
    return this.#cache.count(keys)
  }

  open(name: string, { keys, cached, tokens }: OpenRequest): KvRow | undefined {
    const wanted = keys.slice(0, Math.min(cached, Math.floor(tokens / BLOCK_SIZE)))
    if (this.#rows.size >= this.#maxRows) return undefined
    if (!this.#cache.hasRoom(wanted, countBlocks(tokens))) return undefined
    const bank = this.#getGroup(name).choose(tokens)
    const row = new BankRow(new BlockTable(this.#cache.pool), bank)
    const taken = this.#takeCached(row.table, wanted)
    row.table.extend(tokens)
    this.#add(row, bank)
    for (let at = 0; at < taken; at++)
      bank.contents.writeBlock(row.index, at, this.#cache.read(row.table.ids[at]!))
    row.length = taken * BLOCK_SIZE
    row.published = taken
    this.#cache.countUse(taken, keys.length - taken)
    return row
  }

  markReady(given: KvRow): void {
    const row = this.#get(given)
    this.#getGroup(row.bank.group).settle()
    row.bank.markReady(row)
  }

  reserve(given: KvRow, count: number): boolean {
    const row = this.#get(given)
    const { room } = row
    if (row.length + count <= room) return true
    if (!row.table.extend(row.length + count)) return false
    try {
      this.#getGroup(row.bank.group).grow(row)
    } catch (error) {
      row.table.shrink(room) // no memory: as before
      throw error
    }
    return true
  }

  append(
    given: readonly KvRow[],
    outputs: ReadonlyMap<string, Tensor>,
    counts: readonly number[],
  ): void {
    const places = new Map<RowBank, EntryPlace[]>()
    given.forEach((item, entry) => {
      const row = this.#get(item)
      const count = counts[entry]!
      assertInternal(
        row.length + count <= row.room,
        `a row of ${row.length} tokens takes ${count}, but it has room for ${row.room}`,
      )
      const place = { entry, row: row.index, position: row.length, count }
      const known = places.get(row.bank)
      if (known) known.push(place)
      else places.set(row.bank, [place])
    })
    for (const [bank, items] of places) bank.append(outputs, items)
    this.#freeIdle()
  }

  publish(given: KvRow, keys: readonly string[]): void {
    const row = this.#get(given)
    const { table, bank } = row
    if (row.sick) return
    const full = Math.min(keys.length, Math.floor(row.length / BLOCK_SIZE))
    while (row.published < full && row.canShare(row.published)) {
      const at = row.published++
      this.#cache.put(table, at, keys[at]!, (block) =>
        bank.contents.readBlock(row.index, at, block, row.blockStates.get(at)),
      )
    }
  }

  save(keys: readonly string[]): void {
    this.#cache.save(keys)
  }

  forget(mark: string): Promise<void> {
    return this.#cache.forget(mark)
  }

  fork(given: KvRow): KvRow | undefined {
    const source = this.#get(given)
    const { length, table } = source
    const full = Math.floor(length / BLOCK_SIZE)
    if (this.#rows.size >= this.#maxRows) return undefined
    if (countBlocks(length) - full > this.#cache.pool.available) return undefined
    const bank = this.#getGroup(source.bank.group).choose(length)
    const row = new BankRow(new BlockTable(this.#cache.pool), bank)
    table.shareWith(row.table, full)
    row.table.extend(length) // the last block will be written to, so each row has its own
    this.#add(row, bank)
    bank.contents.copyRowFrom(source.bank.contents, source.index, row.index, length)
    row.length = length
    row.published = Math.min(source.published, full)
    row.sick = source.sick
    return row
  }

  close(given: KvRow): void {
    const row = this.#get(given)
    row.bank.remove(row)
    row.table.shrink(0)
    this.#rows.delete(row)
    this.#getGroup(row.bank.group).settle()
  }

  #takeCached(table: BlockTable, keys: readonly string[]): number {
    try {
      return this.#cache.takeInto(table, keys)
    } catch (error) {
      table.shrink(0) // no memory: releases what was taken
      throw error
    }
  }

  #add(row: BankRow, bank: RowBank): void {
    bank.add(row)
    this.#rows.add(row)
  }

  #get(row: KvRow): BankRow {
    assertInternal(this.#rows.has(row as BankRow), 'a row is used that is closed')
    return row as BankRow
  }

  #getGroup(name: string): BankGroup {
    const known = this.#groups.get(name)
    if (known) return known
    const group = new BankGroup(name, this.#shape, this.#element)
    this.#groups.set(name, group)
    return group
  }

  /**
   * Frees one array per call, because freeing a gigabyte at once would take a tenth of a second.
   */
  #freeIdle(): void {
    for (const group of this.#groups.values()) {
      this.#retired.push(...group.collectIdle())
      if (group.isGone) this.#groups.delete(group.name)
    }
    this.#retired.pop()?.transferToFixedLength(0)
  }
}
