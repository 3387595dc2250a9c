// The slots of one rank class. Leased slots are adjacent, in a window of which feeds are views.
// Idle experts stay in slots outside the window until these are needed.

import { assertInternal } from '../../../base/errors.ts'
import type { RankSet, SlotRange } from './adapter-pool.ts'
import { fillModule, type SlotSource } from './fill-slot.ts'
import { createFeedCache, type SlotFeeds } from './slot-feeds.ts'
import { type SlotLayout } from './slot-layout.ts'
import { SlotStore } from './slot-store.ts'

/** What a set needs of the experts in its slots. */
export interface SlotOwner {
  /** Whether a lease uses it now. */
  readonly isActive: boolean
  /** Whether it may lose its slot while it is idle. */
  readonly isPinned: boolean
}

export class RankSlots<Owner extends SlotOwner> implements RankSet {
  readonly rank: number
  readonly #layout: SlotLayout
  /** A and B of each module in turn; last, how many ranks each part has. */
  readonly store: SlotStore<Owner>
  readonly #onDrop: (owner: Owner) => void
  #start = 0
  #end = 0
  readonly #feeds: ReturnType<typeof createFeedCache>

  /** `onDrop` is called for an idle expert that loses its slot to an active one. */
  constructor(layout: SlotLayout, rank: number, onDrop: (owner: Owner) => void = () => undefined) {
    this.rank = rank
    this.#layout = layout
    this.#onDrop = onDrop
    this.#feeds = createFeedCache(layout, rank)
    const lengths = layout.flatMap(({ inFeatures, outFeatures, parts }) => [
      rank * parts.length * inFeatures,
      rank * outFeatures,
    ])
    this.store = new SlotStore([...lengths, layout.reduce((n, { parts }) => n + parts.length, 0)])
  }

  get units(): readonly number[] {
    return [...new Set(this.#layout.map(({ units }) => units.owners.length))]
  }
  get active(): number {
    return this.#end - this.#start
  }
  /** The owner's place among the active slots. */
  slotOf(owner: Owner): number {
    const slot = this.store.slotOf(owner)
    assertInternal(slot !== undefined, 'the expert is in no slot')
    return slot - this.#start
  }

  groupedFeeds(set = 0, { first, count }: SlotRange = { first: 0, count: this.active }): SlotFeeds {
    return this.#feeds(this.store.arrays, { slot: this.#start + first, count, infix: `.${set}` })
  }

  slotFeeds(slot: number): SlotFeeds {
    return this.#feeds(this.store.arrays, { slot: this.#start + slot, infix: '' })
  }

  /** An idle, unpinned expert among the active slots: the cheapest place for a new one. */
  findIdle(): Owner | undefined {
    const hole = this.#findHole((owner) => owner !== undefined && !owner.isPinned)
    return hole === undefined ? undefined : this.store.ownerAt(hole)
  }

  /** Fills a free slot, of which there must be one. */
  place(owner: Owner, source: SlotSource): void {
    const slot = this.#findFree()
    this.store.claim(owner, slot)
    const { arrays } = this.store
    const parts = this.#layout.reduce((n, module) => n + module.parts.length, 0)
    let held = slot * parts
    for (const [m, module] of this.#layout.entries()) {
      const A = arrays[2 * m]!
      const B = arrays[2 * m + 1]!
      const startA = slot * this.rank * module.parts.length * module.inFeatures
      const startB = slot * this.rank * module.outFeatures
      const ranks = arrays[2 * this.#layout.length]!.subarray(held, held + module.parts.length)
      fillModule(module, this.rank, source, { A, B, startA, startB }, ranks)
      held += module.parts.length
    }
  }

  /** Brings the owner, who has become active, into the window. */
  activate(owner: Owner): void {
    const slot = this.store.slotOf(owner)!
    if (slot >= this.#start && slot < this.#end) return
    if (this.active === 0) {
      this.#start = slot
      this.#end = slot + 1
    } else if (slot === this.#end) this.#end++
    else if (slot === this.#start - 1) this.#start--
    else {
      const hole = this.#findHole(() => true)
      const to = hole ?? (this.#end < this.store.slots ? this.#end++ : --this.#start)
      this.#bring(slot, to, hole !== undefined)
    }
  }

  /** Called when the owner has become idle, and when an owner has left its slot. */
  narrow(): void {
    while (this.#end > this.#start && !this.#isActive(this.#end - 1)) this.#end--
    while (this.#start < this.#end && !this.#isActive(this.#start)) this.#start++
  }

  vacate(owner: Owner): void {
    this.store.vacate(owner)
    this.narrow()
  }

  /** Moves the last active experts into idle places among the others. */
  arrange(): void {
    for (let hole = this.#findHole(() => true); hole !== undefined;) {
      this.#bring(this.#end - 1, hole, true)
      this.narrow()
      hole = this.#findHole(() => true)
    }
  }

  /** Changes the number of slots, at least to as many as are owned. */
  resize(slots: number): void {
    const owners = [...this.store.owners]
    const order: (Owner | undefined)[] =
      slots < this.store.slots
        ? [...owners.filter((owner) => owner.isActive), ...owners.filter((o) => !o.isActive)]
        : Array.from({ length: this.store.slots }, (_, slot) => this.store.ownerAt(slot))
    if (slots < this.store.slots) {
      this.#start = 0
      this.#end = owners.filter((owner) => owner.isActive).length
    }
    while (order.length < slots) order.push(undefined)
    this.store.resize(order)
  }

  #isActive(slot: number): boolean {
    return this.store.ownerAt(slot)?.isActive ?? false
  }

  /** A place in the window that no lease uses. */
  #findHole(fits: (owner: Owner | undefined) => boolean): number | undefined {
    for (let slot = this.#start; slot < this.#end; slot++)
      if (!this.#isActive(slot) && fits(this.store.ownerAt(slot))) return slot
    return undefined
  }

  /** A free slot: in the window, else next to it, else anywhere. */
  #findFree(): number {
    const isFree = (slot: number): boolean =>
      slot >= 0 && slot < this.store.slots && this.store.ownerAt(slot) === undefined
    for (let slot = this.#start; slot <= this.#end; slot++) if (isFree(slot)) return slot
    if (isFree(this.#start - 1)) return this.#start - 1
    for (let slot = 0; slot < this.store.slots; slot++) if (isFree(slot)) return slot
    throw new Error('internal: no slot is free')
  }

  /** Moves a slot to another one, whose idle owner is dropped or takes the freed place. */
  #bring(from: number, to: number, mayDrop: boolean): void {
    const idle = this.store.ownerAt(to)
    if (idle && (idle.isPinned || !mayDrop)) return this.store.swap(from, to)
    if (idle) {
      this.store.vacate(idle)
      this.#onDrop(idle)
    }
    this.store.move(from, to)
  }
}
