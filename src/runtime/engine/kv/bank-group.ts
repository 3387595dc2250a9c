// The banks of one group: which bank a row is in, and when rows move to another. Independent of
// blocks.

import { type BankPlan, chooseCapacity, computeCost, planBanks } from './bank-capacity.ts'
import { type BankRow, RowBank } from './bank.ts'
import type { KvShape } from './kv-types.ts'
import type { KvElement } from './values.ts'

/** Rows move only if a step then reads at least this many slots fewer. */
const LEAST_GAIN = 500
/** A move copies at most this many positions for each slot that a step saves. */
const COPIED_PER_GAIN = 16
/**
 * A row that is not ready joins a bank that has at most this many more slots than the row needs.
 */
const JOINED_WASTE = 512
/** An empty bank releases its memory after this many calls. */
const KEPT_CALLS = 64

export class BankGroup {
  readonly name: string
  readonly #shape: KvShape
  readonly #element: KvElement
  readonly #banks = new Map<number, RowBank>()
  readonly #retired: ArrayBuffer[] = [] // to be freed

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
    return [...this.#banks.values()].reduce((sum, { contents }) => sum + contents.sizeBytes, 0)
  }
  /** Whether the group has neither rows nor memory. */
  get isGone(): boolean {
    return this.#banks.size === 0
  }

  /** The bank for a new row of this many positions, with memory for it. */
  choose(positions: number): RowBank {
    const need = chooseCapacity(positions)
    const needs = this.#countNeeds()
    needs.set(need, (needs.get(need) ?? 0) + 1)
    const planned = planBanks(needs).capacities.get(need)!
    const bank = this.#getBank(planned - need <= JOINED_WASTE ? planned : need)
    bank.makeRoom()
    return bank
  }

  /** Moves a row that outgrows its bank, and further rows if fewer banks are cheaper then. */
  grow(row: BankRow): void {
    const need = chooseCapacity(row.room)
    if (need <= row.bank.capacity) return
    const plan = planBanks(this.#countNeeds())
    if (this.#follow(plan)) return
    const capacity = plan.capacities.get(need)!
    if (row.bank.rows.length > 1 || !this.#widen(row.bank, capacity))
      this.#getBank(capacity).take(row)
  }

  /** Moves rows so that a step reads the fewest slots, if that is worth the copies. */
  settle(): void {
    this.#follow(planBanks(this.#countNeeds()))
  }

  /** Counts a call; returns the buffers of banks that have been empty for long. */
  collectIdle(): readonly ArrayBuffer[] {
    const buffers = this.#retired.splice(0)
    for (const bank of this.#banks.values()) {
      bank.idleCalls = bank.rows.length > 0 ? 0 : bank.idleCalls + 1
      if (bank.idleCalls < KEPT_CALLS) continue
      buffers.push(...bank.contents.arrays.release())
      this.#banks.delete(bank.capacity)
    }
    return buffers
  }

  /** Moves rows as planned. Returns false, and moves nothing, if the gain is too small. */
  #follow(plan: BankPlan): boolean {
    const gain = computeCost(this.#countBanks()) - plan.cost
    if (gain < LEAST_GAIN) return false
    const toCapacity = ({ room }: BankRow): number => plan.capacities.get(chooseCapacity(room))!
    const moves = this.banks
      .flatMap(({ rows }) => rows)
      .filter((row) => toCapacity(row) !== row.bank.capacity)
    const copied = moves.reduce((sum, { length }) => sum + length, 0)
    if (copied > COPIED_PER_GAIN * gain) return false
    for (const bank of this.banks) {
      const capacity = toCapacity(bank.rows[0]!)
      if (bank.rows.every((row) => toCapacity(row) === capacity)) this.#widen(bank, capacity)
    }
    // the last row of a bank first, because its removal leaves no gap
    for (const row of moves.toReversed()) {
      const capacity = toCapacity(row)
      if (row.bank.capacity !== capacity) this.#getBank(capacity).take(row)
    }
    return true
  }

  /**
   * Gives a bank a larger capacity in place: most of its memory is already mapped, and mapping new
   * memory costs several times as much as a copy. Returns false, and changes nothing, if that is
   * impossible.
   */
  #widen(bank: RowBank, capacity: number): boolean {
    const other = this.#banks.get(capacity)
    if (capacity <= bank.capacity || !bank.canWiden(capacity)) return false
    if (other && other.rows.length > 0) return false
    this.#banks.delete(bank.capacity)
    if (other) this.#retired.push(...other.contents.arrays.release())
    bank.widen(capacity)
    this.#banks.set(capacity, bank)
    return true
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

  /** The rows of each capacity, with every row that outgrew its bank counted in one that fits. */
  #countBanks(): Map<number, number> {
    const counts = new Map(this.banks.map(({ capacity, rows }) => [capacity, rows.length]))
    for (const { bank, room } of this.banks.flatMap(({ rows }) => rows)) {
      if (room <= bank.capacity) continue
      const need = chooseCapacity(room)
      counts.set(need, (counts.get(need) ?? 0) + 1)
      const left = counts.get(bank.capacity)! - 1
      if (left > 0) counts.set(bank.capacity, left)
      else counts.delete(bank.capacity)
    }
    return counts
  }
}
