// Slots of equal size over several arrays: their owners, and moving, adding and removing slots.
// Independent of the meaning of the values.

import { assertInternal } from '../../../base/errors.ts'

/** Slot s of array i begins at s·lengths[i]. */
export class SlotStore<Owner> {
  readonly slotBytes: number
  readonly #lengths: readonly number[]
  #arrays: readonly Float32Array[]
  #owners: (Owner | undefined)[] = []
  readonly #slotOf = new Map<Owner, number>()
  readonly #scratch: Float32Array

  /** `lengths`: numbers of one slot in each array. */
  constructor(lengths: readonly number[]) {
    this.#lengths = lengths
    this.#arrays = lengths.map(() => new Float32Array(0))
    this.slotBytes = 4 * lengths.reduce((sum, length) => sum + length, 0)
    this.#scratch = new Float32Array(Math.max(0, ...lengths))
  }

  /** Replaced by `resize`; the old ones keep their content. */
  get arrays(): readonly Float32Array[] {
    return this.#arrays
  }
  get slots(): number {
    return this.#owners.length
  }
  get bytes(): number {
    return this.slots * this.slotBytes
  }
  /** Slots that are owned. */
  get owned(): number {
    return this.#slotOf.size
  }
  get owners(): IterableIterator<Owner> {
    return this.#slotOf.keys()
  }

  ownerAt(slot: number): Owner | undefined {
    return this.#owners[slot]
  }
  slotOf(owner: Owner): number | undefined {
    return this.#slotOf.get(owner)
  }

  /** Assigns a free slot to the owner. */
  claim(owner: Owner, slot: number): void {
    assertInternal(
      slot >= 0 && slot < this.slots && this.#owners[slot] === undefined,
      `slot ${slot} of ${this.slots} is not free`,
    )
    assertInternal(!this.#slotOf.has(owner), 'an owner has one slot')
    this.#owners[slot] = owner
    this.#slotOf.set(owner, slot)
  }

  /** Frees the owner's slot. Its numbers stay. */
  vacate(owner: Owner): void {
    const slot = this.#slotOf.get(owner)
    assertInternal(slot !== undefined, 'an owner without a slot cannot leave it')
    this.#owners[slot] = undefined
    this.#slotOf.delete(owner)
  }

  /** Copies a slot and its owner into a free one. */
  move(from: number, to: number): void {
    const owner = this.#owners[from]
    assertInternal(owner !== undefined, `slot ${from} has no owner that could move`)
    this.vacate(owner)
    this.claim(owner, to)
    this.#lengths.forEach((length, i) =>
      this.#arrays[i]!.copyWithin(to * length, from * length, (from + 1) * length),
    )
  }

  /** Exchanges two owned slots. */
  swap(a: number, b: number): void {
    const first = this.#owners[a]
    const second = this.#owners[b]
    assertInternal(first !== undefined && second !== undefined, `slots ${a} and ${b} are owned`)
    this.vacate(first)
    this.vacate(second)
    this.claim(first, b)
    this.claim(second, a)
    this.#lengths.forEach((length, i) => {
      const values = this.#arrays[i]!
      const kept = this.#scratch.subarray(0, length)
      kept.set(values.subarray(a * length, (a + 1) * length))
      values.copyWithin(a * length, b * length, (b + 1) * length)
      values.set(kept, b * length)
    })
  }

  /**
   * Allocates new arrays with a slot for each place of `order`. The slots of owners move there, and
   * places without an owner are zero. Owners that are missing lose their slots.
   */
  resize(order: readonly (Owner | undefined)[]): void {
    const from = order.map((owner) => owner !== undefined && this.#slotOf.get(owner))
    // one array after the other, so that at most one of them is in memory twice
    this.#arrays = this.#lengths.map((length, i) => {
      const old = this.#arrays[i]!
      const values = new Float32Array(order.length * length)
      for (const [slot, source] of from.entries())
        if (typeof source === 'number')
          values.set(old.subarray(source * length, (source + 1) * length), slot * length)
      return values
    })
    this.#owners = [...order]
    this.#slotOf.clear()
    for (const [slot, owner] of order.entries())
      if (owner !== undefined) this.#slotOf.set(owner, slot)
  }
}
