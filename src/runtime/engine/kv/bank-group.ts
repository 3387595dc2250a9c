// The banks of one group: which bank a row stands in, and when rows move to another. Independent of
// blocks.

import { chooseCapacity, computeCost, planBanks } from './bank-capacity.ts'
import { type BankRow, RowBank } from './bank.ts'
import type { KvShape } from './kv-types.ts'
import type { KvElement } from './values.ts'

/** Rows move where a step then reads so many slots less. */
const LEAST_GAIN = 500
/** A move copies at most so many positions for each slot that a step then reads less. */
const COPIED_PER_GAIN = 16
/** A row that is not ready joins a bank with at most so many slots more than it needs. */
const JOINED_WASTE = 512
/** An empty bank gives its memory back after so many calls. */
const KEPT_CALLS = 64

export class BankGroup {
  readonly name: string
  readonly #shape: KvShape
  readonly #element: KvElement
  readonly #banks = new Map<number, RowBank>()

  constructor(name: string, shape: KvShape, element: KvElement) {
    this.name = name
    this.#shape = shape
    this.#element = element
  }

  /** Banks with rows, by capacity. */
  get banks(): readonly RowBank[] {
    return [...this.#banks.values()]
      .filter(({ rows }) => rows.length > 0)
      .toSorted((a, b) => a.capacity - b.capacity)
  }
  get sizeBytes(): number {
    return [...this.#banks.values()].reduce((sum, { arrays }) => sum + arrays.sizeBytes, 0)
  }
  /** Whether nothing is left of the group. */
  get isGone(): boolean {
    return this.#banks.size === 0
  }

  /** The bank for a new row of so many positions, with memory for it. */
  choose(positions: number): RowBank {
    const need = chooseCapacity(positions)
    const needs = this.#countNeeds()
    needs.set(need, (needs.get(need) ?? 0) + 1)
    const planned = planBanks(needs).capacities.get(need)!
    const bank = this.#getBank(planned - need <= JOINED_WASTE ? planned : need)
    bank.makeRoom()
    return bank
  }

  /** Moves a row that outgrows its bank, and others where fewer banks are cheaper then. */
  grow(row: BankRow): void {
    const need = chooseCapacity(row.room)
    if (need <= row.bank.capacity) return
    this.#getBank(planBanks(this.#countNeeds()).capacities.get(need)!).take(row)
    this.settle()
  }

  /** Moves rows to where a step reads fewest slots, if it is worth their copies. */
  settle(): void {
    const plan = planBanks(this.#countNeeds())
    const gain = computeCost(this.#countRows()) - plan.cost
    if (gain < LEAST_GAIN) return
    const rows = this.banks.flatMap((bank) => bank.rows)
    const moves = rows
      .map((row) => ({ row, capacity: plan.capacities.get(chooseCapacity(row.room))! }))
      .filter(({ row, capacity }) => row.bank.capacity !== capacity)
    const copied = moves.reduce((sum, { row }) => sum + row.length, 0)
    if (copied > COPIED_PER_GAIN * gain) return
    // the last row of a bank first: it leaves no hole
    for (const { row, capacity } of moves.toReversed()) this.#getBank(capacity).take(row)
  }

  /** Counts a call; the buffers of banks that have long been empty. */
  collectIdle(): readonly ArrayBuffer[] {
    const buffers: ArrayBuffer[] = []
    for (const bank of this.#banks.values()) {
      bank.idleCalls = bank.rows.length > 0 ? 0 : bank.idleCalls + 1
      if (bank.idleCalls < KEPT_CALLS) continue
      buffers.push(...bank.arrays.release())
      this.#banks.delete(bank.capacity)
    }
    return buffers
  }

  #getBank(capacity: number): RowBank {
    const known = this.#banks.get(capacity)
    if (known) return known
    const bank = new RowBank(this.name, this.#shape, this.#element, capacity)
    this.#banks.set(capacity, bank)
    return bank
  }

  #countNeeds(): Map<number, number> {
    const counts = new Map<number, number>()
    for (const { rows } of this.#banks.values()) {
      for (const { room } of rows) {
        const need = chooseCapacity(room)
        counts.set(need, (counts.get(need) ?? 0) + 1)
      }
    }
    return counts
  }

  #countRows(): Map<number, number> {
    return new Map(this.banks.map(({ capacity, rows }) => [capacity, rows.length]))
  }
}
