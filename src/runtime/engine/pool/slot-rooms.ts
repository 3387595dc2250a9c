// Room for experts under one budget of bytes: a set of slots for each rank class, and the vectors.
// Decides what grows, what shrinks and who is evicted.

import { assertInternal } from '../../../base/errors.ts'
import type { ExpertSource } from './expert-source.ts'
import { RankSlots, type SlotOwner } from './rank-set.ts'
import type { SlotLayout } from './slot-layout.ts'
import { VectorSlots } from './vector-set.ts'

/** An expert that may be in slots. */
export interface RoomUser extends SlotOwner {
  readonly source: ExpertSource
  /** Rises with every use. */
  readonly lastUsed: number
}

const LEAST_RANK = 4

/** The class of a rank: 4, 8, 16, 32, … */
export function toRankClass(rank: number): number {
  let size = LEAST_RANK
  while (size < rank) size *= 2
  return size
}

type Room<User extends RoomUser> = RankSlots<User> | VectorSlots<User>

/** Slots and bytes of a room. */
const storeOf = <User extends RoomUser>(room: Room<User>) =>
  room instanceof RankSlots ? room.store : room

export interface RoomBytes {
  /** Bytes that slots and vectors may take. */
  readonly budgetBytes: number
  /** Beyond these bytes, idle experts are evicted before slots are added. */
  readonly idleBytes: number
}

export class SlotRooms<User extends RoomUser> {
  readonly vectors: VectorSlots<User>
  readonly #layout: SlotLayout
  readonly budgetBytes: number
  readonly #idleBytes: number
  readonly #onLeave: (user: User) => void
  readonly #sets = new Map<number, RankSlots<User>>()
  readonly #users = new Set<User>()
  #evictions = 0

  /** `onLeave` is called for every expert that has lost its slots. */
  constructor(
    layout: SlotLayout,
    { budgetBytes, idleBytes }: RoomBytes,
    onLeave: (user: User) => void,
  ) {
    this.#layout = layout
    this.budgetBytes = budgetBytes
    this.#idleBytes = Math.min(idleBytes, budgetBytes)
    this.#onLeave = onLeave
    this.vectors = new VectorSlots(layout)
  }

  get users(): ReadonlySet<User> {
    return this.#users
  }
  /** The sets that have slots, from the smallest class up. */
  get sets(): readonly RankSlots<User>[] {
    const sets = [...this.#sets.values()].filter(({ store }) => store.slots > 0)
    return sets.sort((a, b) => a.rank - b.rank)
  }
  get bytes(): number {
    return this.#list().reduce((sum, room) => sum + storeOf(room).bytes, 0)
  }
  get evictions(): number {
    return this.#evictions
  }

  setOf({ source }: Pick<RoomUser, 'source'>): RankSlots<User> | undefined {
    if (source.rank === 0) return undefined
    const rank = toRankClass(source.rank)
    const known = this.#sets.get(rank)
    if (known) return known
    const made = new RankSlots<User>(this.#layout, rank, (user) => this.#forget(user, 'vectors'))
    this.#sets.set(rank, made)
    return made
  }

  /** Bytes that the expert takes in slots. */
  countBytes(source: ExpertSource): number {
    const low = this.setOf({ source })?.store.slotBytes ?? 0
    return low + (source.hasVectors ? this.vectors.slotBytes : 0)
  }

  /** Bytes that cannot be reused, because leases or pins hold them. */
  countHeldBytes(isHeld: (user: User) => boolean): number {
    return [...this.#users]
      .filter(isHeld)
      .reduce((sum, user) => sum + this.countBytes(user.source), 0)
  }

  /**
   * Fills slots for an expert that has none. Returns false, and changes nothing, if the budget has
   * no room. `toUse`: the expert is used at once, so idle experts among the active slots are
   * evicted first.
   */
  place(user: User, toUse: boolean): boolean {
    assertInternal(!this.#users.has(user), 'an expert is placed once')
    const held = this.countHeldBytes(({ isActive, isPinned }) => isActive || isPinned)
    if (held + this.countBytes(user.source) > this.budgetBytes) return false
    const set = this.setOf(user)
    const { slot, hasVectors } = user.source
    assertInternal(slot !== undefined, 'an attached adapter has no slot')
    if (set) {
      const idle = toUse ? set.findIdle() : undefined
      if (idle) this.#evict(idle)
      this.#makeRoom(set)
      set.place(user, slot)
    }
    if (hasVectors) {
      this.#makeRoom(this.vectors)
      this.vectors.place(user, slot)
    }
    this.#users.add(user)
    return true
  }

  /** Takes an expert out of its slots, and releases memory that is no longer needed. */
  remove(user: User): void {
    this.#forget(user, 'both')
    for (const room of [this.setOf(user), this.vectors]) {
      const { owned, slots } = storeOf(room ?? this.vectors)
      if (owned <= slots / 2) room?.resize(roundUp(owned))
    }
  }

  #list(): readonly Room<User>[] {
    return [...this.#sets.values(), this.vectors]
  }

  /** Makes sure that a room has a free slot. */
  #makeRoom(room: Room<User>): void {
    const { slotBytes } = storeOf(room)
    for (;;) {
      const { owned, slots } = storeOf(room)
      if (owned < slots) return
      const easy = Math.floor((this.#idleBytes - this.bytes) / slotBytes)
      if (easy > 0) return room.resize(slots + Math.min(easy, Math.max(1, slots)))
      const loose = this.#list().find(
        (one) => one !== room && storeOf(one).slots > storeOf(one).owned,
      )
      const victim = loose ? undefined : this.#findVictim()
      if (loose) loose.resize(storeOf(loose).owned)
      else if (victim) this.#evict(victim)
      else {
        assertInternal(
          this.bytes + slotBytes <= this.budgetBytes,
          'room was counted that cannot be made',
        )
        return room.resize(slots + 1)
      }
    }
  }

  /** Of the experts without a lease or a pin, the least recently used one. */
  #findVictim(): User | undefined {
    let victim: User | undefined
    for (const user of this.#users)
      if (!user.isActive && !user.isPinned && !(victim && victim.lastUsed < user.lastUsed))
        victim = user
    return victim
  }

  #evict(user: User): void {
    this.#evictions++
    this.#forget(user, 'both')
  }

  /** `from` is 'vectors' if the set has already dropped the expert's slot. */
  #forget(user: User, from: 'both' | 'vectors'): void {
    if (from === 'both') this.setOf(user)?.vacate(user)
    else this.#evictions++
    if (user.source.hasVectors) this.vectors.vacate(user)
    this.#users.delete(user)
    this.#onLeave(user)
  }
}

const roundUp = (slots: number): number => (slots === 0 ? 0 : 2 ** Math.ceil(Math.log2(slots)))
