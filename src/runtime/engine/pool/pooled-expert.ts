// The pool's record of an expert: its users, its versions, and their leases.

import type { Adapter, Expert } from '../../../adapters/index.ts'
import { listVirtualIds } from '../../../adapters/adapter.ts'
import { isMixture } from '../../../adapters/serving/mixture.ts'
import { isWeightZero } from '../../../adapters/serving/part-weight.ts'
import type { ExpertHandle, Lease, WeightedHandle } from './adapter-pool.ts'
import type { ExpertSource } from './expert-source.ts'
import type { RoomUser, SlotRooms } from './slot-rooms.ts'

/** An expert by its key: one slot, however many names and leases it has. */
export class PooledExpert implements RoomUser {
  readonly key: string
  readonly source: ExpertSource
  /** The adapter, where no slot can hold it, or its virtual tokens. */
  readonly attached: Adapter | undefined
  /** The names whose current version it is. */
  readonly names = new Set<string>()
  leases = 0
  lastUsed = 0
  /** Whether its memory is freed when its last lease ends. */
  isRetired = false
  /** Of a sum: the keys of its parts. */
  readonly partKeys: readonly string[]
  readonly #pins: ReadonlySet<string>

  constructor(
    key: string,
    source: ExpertSource,
    attached: Adapter | undefined,
    pins: ReadonlySet<string>,
    partKeys: readonly string[] = [],
  ) {
    this.partKeys = partKeys
    this.key = key
    this.source = source
    this.attached = attached
    this.#pins = pins
  }

  get isActive(): boolean {
    return this.leases > 0
  }
  get isPinned(): boolean {
    for (const name of this.names) if (this.#pins.has(name)) return true
    return false
  }
}

/** A handle and its expert. */
export interface ExpertVersion {
  readonly handle: ExpertHandle
  /** Replaced where the pool has an expert of the same content already. */
  expert: PooledExpert
  /** Leases and claims. */
  users: number
  /** The claims among them, which may still acquire a lease. */
  claims: number
  isUnloaded: boolean
  /** Of a sum of registered experts: their versions. */
  readonly parts: readonly ExpertVersion[]
  /** Called when the last lease and claim of this version have ended. */
  readonly waiting: (() => void)[]
}

const withoutTensors = (expert: Expert): Expert =>
  isMixture(expert)
    ? {
        mixture: expert.mixture.map(({ adapter, weight }) => ({
          adapter: { ...adapter, tensors: new Map() },
          weight,
        })),
      }
    : { ...expert, tensors: new Map() }

/** Virtual tokens before a row's first token. */
export const countVirtualTokens = (expert: Expert): number =>
  isMixture(expert) ? 0 : listVirtualIds(expert).length

export function createHandle(
  expert: Expert,
  named: Pick<ExpertHandle, 'name' | 'version' | 'key' | 'metadata' | 'form' | 'factors'>,
  keepsExpert: boolean,
): ExpertHandle {
  const adapters = isMixture(expert)
    ? expert.mixture.filter(({ weight }) => !isWeightZero(weight)).map(({ adapter }) => adapter)
    : [expert]
  return {
    ...named,
    expert: keepsExpert ? expert : undefined,
    described: withoutTensors(expert),
    // a mixture whose adapters differ in this is refused
    invocation: adapters[0]?.config.invocationTokens,
    virtualTokens: countVirtualTokens(expert),
  }
}

/** A sum of experts that have handles. */
export function createMixHandle(
  parts: readonly WeightedHandle[],
  named: Pick<ExpertHandle, 'key' | 'form' | 'factors'>,
): ExpertHandle {
  const mixture = parts.flatMap(({ handle: { described }, weight }) =>
    isMixture(described) ? described.mixture : [{ adapter: described, weight }],
  )
  return {
    ...named,
    name: undefined,
    version: 1,
    metadata: {},
    expert: undefined,
    described: { mixture },
    invocation: parts[0]?.handle.invocation,
    virtualTokens: 0,
  }
}

export class PoolLease implements Lease {
  readonly handle: ExpertHandle
  readonly #expert: PooledExpert
  readonly #rooms: SlotRooms<PooledExpert>

  constructor({ handle, expert }: ExpertVersion, rooms: SlotRooms<PooledExpert>) {
    this.handle = handle
    this.#expert = expert
    this.#rooms = rooms
  }

  get rank(): Lease['rank'] {
    const set = this.#rooms.setOf(this.#expert)
    return set && { set, slot: set.slotOf(this.#expert) }
  }
  get vector(): number {
    return this.#expert.source.hasVectors ? this.#rooms.vectors.rowOf(this.#expert) : 0
  }
  get attached(): Adapter | undefined {
    return this.#expert.attached
  }
}
