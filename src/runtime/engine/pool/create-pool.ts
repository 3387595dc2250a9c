// The adapter pool: registers, leases and unloads experts. Names are in expert-names.ts, experts in
// pool-experts.ts; slot-rooms.ts assigns slots.

import type { AdapterMetadata, Expert } from '../../../adapters/index.ts'
import { OptionError } from '../../../base/errors.ts'
import { integer, isRecord, mapOf, oneOf, readOptions, string } from '../../../base/schema.ts'
import type {
  AdapterPool,
  ExpertHandle,
  Lease,
  PoolStatistics,
  VectorSet,
  WeightedHandle,
} from './adapter-pool.ts'
import { ExpertNames } from './expert-names.ts'
import type { PoolBase } from './expert-source.ts'
import {
  coldForms,
  type CompletePoolOptions,
  PoolExperts,
  type PoolOptions,
  toMegabytes,
} from './pool-experts.ts'
import { type ExpertVersion, type PooledExpert, PoolLease } from './pooled-expert.ts'
import type { SlotRooms } from './slot-rooms.ts'
import { VersionUsers } from './version-users.ts'

const poolFields = {
  budgetBytes: integer({ from: 0, default: 2 ** 29 }),
  cold: oneOf(coldForms, { default: 'f32' }),
  idleBytes: integer({ from: 0 }),
}
const nameFields = {
  name: string({ filled: true }),
  metadata: mapOf(string()),
  digest: string({ filled: true }),
}

/** A pool over a base model. Throws OptionError for wrong options. */
export const createAdapterPool = (base: PoolBase, options: PoolOptions = {}): AdapterPool =>
  new Pool(base, readOptions('Adapter pool options', options, poolFields))

const isHandle = (which: unknown): which is ExpertHandle =>
  isRecord(which) && 'key' in which && 'version' in which

/** Bytes of pinned experts, in slots or not. */
function countPinnedBytes(names: ExpertNames, rooms: SlotRooms<PooledExpert>): number {
  const pinned = new Set([...names.pins].map((name) => names.get(name).expert))
  return [...pinned].reduce((sum, { source }) => sum + rooms.countBytes(source), 0)
}

class Pool implements AdapterPool {
  readonly #names = new ExpertNames()
  readonly #experts: PoolExperts
  readonly #users = new VersionUsers()
  /** `calls` orders what happened: the largest number is the latest. */
  readonly #counts = { hits: 0, fills: 0, calls: 0 }

  constructor(base: PoolBase, options: CompletePoolOptions) {
    this.#experts = new PoolExperts(base, options, this.#names.pins)
  }

  get vectors(): VectorSet {
    return this.#experts.rooms.vectors
  }

  async register(
    name: string,
    expert: Expert,
    metadata: AdapterMetadata = {},
    digest?: string,
  ): Promise<ExpertHandle> {
    readOptions('register', { name, metadata, digest }, nameFields)
    const call = ++this.#counts.calls
    const describe = () => ({ name, version: this.#names.countVersion(name), metadata })
    const version = await this.#experts.prepare(expert, describe, digest)
    // There is no await from here on, so requests see either the old version or the new one.
    const old = this.#names.replace(version, call)
    if (old === version) return version.handle
    const kept = this.#experts.keep(version)
    kept.names.add(name)
    kept.isRetired = false
    if (old && old.expert !== kept) this.#retire(old, name)
    return version.handle
  }

  async find(which: string | Expert | ExpertHandle): Promise<ExpertHandle> {
    if (typeof which === 'string') return this.#names.get(which).handle
    if (isHandle(which)) return this.#experts.versionOf(which).handle
    const version = await this.#experts.findUnnamed(which)
    version.expert.isRetired = false
    return version.handle
  }

  async acquire(which: string | Expert | ExpertHandle): Promise<Lease | undefined> {
    return this.lease(await this.find(which))
  }

  lease(handle: ExpertHandle): Lease | undefined {
    const version = this.#experts.versionOf(handle)
    if (!this.#enterSlots(version.expert, true)) return undefined
    const expert = this.#experts.keep(version)
    expert.leases++
    expert.lastUsed = ++this.#counts.calls
    this.#experts.rooms.setOf(expert)?.activate(expert)
    const lease = new PoolLease(version, this.#experts.rooms)
    this.#users.addLease(lease, version)
    return lease
  }

  mix(parts: readonly WeightedHandle[]): ExpertHandle | undefined {
    const version = this.#experts.mix(
      parts.map(({ handle, weight }) => ({ version: this.#experts.versionOf(handle), weight })),
    )
    if (version) version.expert.isRetired = false
    return version?.handle
  }

  release(lease: Lease): void {
    const version = this.#users.takeLease(lease)
    const { expert } = version
    expert.leases--
    if (!expert.isActive) {
      this.#experts.rooms.setOf(expert)?.narrow()
      this.#experts.giveBack(expert)
    }
    this.#users.finish(version)
  }

  claim(handle: ExpertHandle): void {
    this.#users.claim(this.#experts.versionOf(handle))
  }

  unclaim(handle: ExpertHandle): void {
    this.#users.unclaim(this.#experts.versionOf(handle))
  }

  arrange(): void {
    for (const set of this.#experts.rooms.sets) set.arrange()
  }

  async unload(name: string): Promise<void> {
    const current = this.#names.remove(name)
    const own = new Set([current, ...this.#users.listNamed(name)])
    for (const version of own) version.isUnloaded = true
    const versions = new Set([...own, ...this.#users.listSums(name)])
    this.#retire(current, name)
    await this.#users.waitFor(versions)
  }

  pin(name: string): void {
    this.#names.get(name)
    this.#names.pins.add(name)
  }

  unpin(name: string): void {
    this.#names.get(name)
    this.#names.pins.delete(name)
  }

  countSlotBytes(name: string): number {
    return this.#experts.rooms.countBytes(this.#names.get(name).expert.source)
  }

  async preload(which: string | Expert | ExpertHandle): Promise<boolean> {
    const version = this.#experts.versionOf(await this.find(which))
    const fits = this.#enterSlots(version.expert, false)
    if (fits) this.#experts.keep(version).lastUsed = ++this.#counts.calls
    return fits
  }

  list(): readonly ExpertHandle[] {
    return this.#names.list().map(({ handle }) => handle)
  }

  isResident(name: string): boolean {
    const { expert } = this.#names.get(name)
    return !expert.source.slot || this.#experts.rooms.users.has(expert)
  }

  get statistics(): PoolStatistics {
    const { rooms, all } = this.#experts
    const users = [...rooms.users]
    const { leases } = this.#users
    const named = new Set(this.#names.list().map(({ expert }) => expert))
    return {
      names: this.#names.size,
      leases: leases.length,
      resident: users.length,
      active: users.filter(({ isActive }) => isActive).length,
      attached: {
        experts: [...named].filter(({ source }) => !source.slot).length,
        leases: leases.filter(({ handle }) => handle.form === 'attached').length,
      },
      hits: this.#counts.hits,
      fills: this.#counts.fills,
      evictions: rooms.evictions,
      slotBytes: rooms.bytes,
      pinnedBytes: countPinnedBytes(this.#names, rooms),
      budgetBytes: rooms.budgetBytes,
      coldBytes: [...all].reduce((sum, { source }) => sum + source.ownBytes, 0),
      sets: rooms.sets.map(({ rank, store: { slots, owned: resident }, active }) => ({
        rank,
        slots,
        resident,
        active,
      })),
    }
  }

  /** Whether the expert is in its slots now, or needs none. */
  #enterSlots(expert: PooledExpert, toUse: boolean): boolean {
    const { rooms } = this.#experts
    if (!expert.source.slot) return true
    if (rooms.users.has(expert)) {
      if (toUse) this.#counts.hits++
      return true
    }
    const pinned = rooms.countHeldBytes(({ isPinned }) => isPinned)
    const bytes = rooms.countBytes(expert.source)
    if (pinned + bytes > rooms.budgetBytes)
      throw new OptionError(
        `Pinned adapters leave ${toMegabytes(rooms.budgetBytes - pinned)} of the pool's budgetBytes, and this one needs ${toMegabytes(bytes)}. Unpin one, or raise the budget.`,
      )
    const isPlaced = rooms.place(expert, toUse)
    if (isPlaced && toUse) this.#counts.fills++
    return isPlaced
  }

  /** Called for a version whose name was unloaded or has a newer version. */
  #retire({ expert }: ExpertVersion, name: string): void {
    expert.names.delete(name)
    if (expert.names.size > 0) return
    expert.isRetired = true
    this.#experts.giveBack(expert)
    this.#experts.retireSums(expert)
  }
}
