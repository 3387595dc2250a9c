// The adapter pool: registered experts by name, and resident experts in slots. Programs are fed
// views of the slots. Independent of sequences, queues and programs.

import type { Adapter, AdapterMetadata, Expert } from '../../../adapters/index.ts'
import type { PartWeight } from '../../../adapters/serving/part-weight.ts'
import type { F32Tensor } from '../../../base/tensor.ts'

/** One version of an expert that the pool has accepted. */
export interface ExpertHandle {
  /** undefined: an expert that was given as an object, without a name. */
  readonly name: string | undefined
  /** Counts from 1 for each name. */
  readonly version: number
  /**
   * The root digest of its files, or the hash of kind, configuration and tensors where it came from
   * no files; of a mixture, the hash of its adapters' keys and weights. Equal keys give equal
   * outputs. An adapter that was never registered has a random key instead, because hashing 20 MB
   * would delay its first token.
   */
  readonly key: string
  /** undefined if the pool keeps it packed, so that its own tensors can be freed. */
  readonly expert: Expert | undefined
  /** The expert without its tensors: its description, tokenizer and template. */
  readonly described: Expert
  readonly metadata: AdapterMetadata
  /** The tokens from whose last occurrence on the expert acts; undefined: it acts on all. */
  readonly invocation: readonly number[] | undefined
  /** Virtual tokens before a row's first token; 0 for most kinds. */
  readonly virtualTokens: number
  /** How it is served: by matrices in a slot, by matrices and vectors, or by its own program. */
  readonly form: 'slots' | 'vectors' | 'attached'
  /** The modules whose inputs or outputs it multiplies, by path. */
  readonly factors: ScaledModules
}

export interface ScaledModules {
  readonly inputs: ReadonlySet<string>
  readonly outputs: ReadonlySet<string>
}

/** An expert of the pool with its weight in a sum. */
export interface WeightedHandle {
  readonly handle: ExpertHandle
  readonly weight: PartWeight
}

/** The lease of a row while it uses an expert. Call `release` once. */
export interface Lease {
  readonly handle: ExpertHandle
  /**
   * The slot of the low-rank part; undefined if the expert has none. `slot` counts within the set's
   * active slots, and changes when `arrange`, `acquire` or `release` moves slots: read it when
   * feeds are made.
   */
  readonly rank: { readonly set: RankSet; readonly slot: number } | undefined
  /** The row of the vector set; 0: the expert has no vectors. Changes as `slot` does. */
  readonly vector: number
  /**
   * The adapter, where no slot can hold it: its own program serves it, or its virtual tokens alone
   * where it has a slot too.
   */
  readonly attached: Adapter | undefined
}

/** Slots next to each other, counted within the active ones. */
export interface SlotRange {
  readonly first: number
  readonly count: number
}

/** The slots of one rank class. Tensors are views: they show what the slots hold now. */
export interface RankSet {
  /** The class, R: the largest rank of a module of its experts, rounded up. */
  readonly rank: number
  /** How many slots the grouped feeds hold by default. */
  readonly active: number
  /** Numbers of units that modules are cut into (cutIntoUnits). */
  readonly units: readonly number[]
  /**
   * `<module>.<set>.A` [G, P, R, in] and `.B` [G, U, unit, R] of the active slots, for a program's
   * set of that number (default 0); or of `count` of them, from slot `first` on. The same tensors
   * until slots are added or removed.
   */
  groupedFeeds(set?: number, choice?: SlotRange): ReadonlyMap<string, F32Tensor>
  /**
   * `<module>.A` [P·R, in] and `.B` of one active slot: [U, unit, R], [out, R] of a module alone.
   */
  slotFeeds(slot: number): ReadonlyMap<string, F32Tensor>
}

/** The vectors of resident experts that have any; row 0 changes nothing. */
export interface VectorSet {
  /** Rows that the feeds hold, Gv. */
  readonly rows: number
  /**
   * `<module>.v` [Gv, out] and `.shift` [Gv, out]; of modules that are not stacked also `.u`
   * [Gv, in].
   */
  feeds(): ReadonlyMap<string, F32Tensor>
  /**
   * The same with one row for each of the sums: 1 + Σ gain·(v − 1), likewise u, and Σ gain·shift.
   */
  blend(sums: readonly (readonly VectorTerm[])[]): ReadonlyMap<string, F32Tensor>
}

/** A row of the vector set and its share. */
export interface VectorTerm {
  readonly vector: number
  readonly gain: number
}

export interface PoolStatistics {
  /** Names that requests may use now. */
  readonly names: number
  /** Leases that were not released. */
  readonly leases: number
  /** Experts in slots, and those of them that leases use. */
  readonly resident: number
  readonly active: number
  /** Experts that no slot can hold: registered ones, and leases of any. */
  readonly attached: { readonly experts: number; readonly leases: number }
  /** Leases whose expert was resident already, and those for which a slot was filled. */
  readonly hits: number
  readonly fills: number
  readonly evictions: number
  /**
   * Bytes of slots and vectors, bytes that pinned experts take there when in use, and the budget.
   */
  readonly slotBytes: number
  readonly pinnedBytes: number
  readonly budgetBytes: number
  /** Bytes of the serving weights that the pool keeps to fill slots from. */
  readonly coldBytes: number
  readonly sets: readonly {
    readonly rank: number
    readonly slots: number
    readonly resident: number
    readonly active: number
  }[]
}

export interface AdapterPool {
  readonly vectors: VectorSet
  readonly statistics: PoolStatistics
  /**
   * Checks the expert against the model, and makes it the current version under this name. Existing
   * leases keep the previous version to their end. Throws MismatchError for another base's adapter,
   * NumericError for NaN or infinity, UnsupportedError for a mixture without an exact sum; nothing
   * has changed then. `digest`: the root digest of the files that an adapter was read from; it is
   * the key then.
   */
  register(
    name: string,
    expert: Expert,
    metadata?: AdapterMetadata,
    digest?: string,
  ): Promise<ExpertHandle>
  /**
   * The current handle under a name, or the one of this object. Checks what `register` checks.
   * Throws NotFoundError for a name that is not registered.
   */
  find(which: string | Expert | ExpertHandle): Promise<ExpertHandle>
  /**
   * A lease of the expert, in a slot. undefined if every slot that the budget allows is leased or
   * pinned: try again after a release. Throws what `find` throws.
   */
  acquire(which: string | Expert | ExpertHandle): Promise<Lease | undefined>
  /** The same for a handle of this pool, at once. */
  lease(handle: ExpertHandle): Lease | undefined
  /**
   * The handle's expert will be leased later, even if it is unloaded by then: an accepted request
   * is served. Call `unclaim` once for each claim.
   */
  claim(handle: ExpertHandle): void
  unclaim(handle: ExpertHandle): void
  /**
   * The weighted sum of experts of this pool, in its own slot; the base (undefined) where all
   * weights are 0. Throws UnsupportedError if they have no exact sum, OptionError for layers that
   * the model does not have.
   */
  mix(parts: readonly WeightedHandle[]): ExpertHandle | undefined
  /** Releases a lease; called once. */
  release(lease: Lease): void
  /**
   * Moves active slots together, so that grouped feeds hold no idle ones. Called before a step
   * reads slots; moves at most as many slots as have become idle.
   */
  arrange(): void
  /**
   * Removes the name at once. The expert's memory is freed when its last lease and claim end, also
   * those of sums that it is part of; the promise waits for that.
   */
  unload(name: string): Promise<void>
  /** A pinned expert is never evicted, in whatever version. */
  pin(name: string): void
  unpin(name: string): void
  /** Bytes that a named expert takes in slots, whether it is there now or not. */
  countSlotBytes(name: string): number
  /** Fills a slot, so that the first lease finds it. False if there is no room for it. */
  preload(which: string | Expert | ExpertHandle): Promise<boolean>
  list(): readonly ExpertHandle[]
  /** Whether the expert under a name is in its slots, or needs none. */
  isResident(name: string): boolean
}
