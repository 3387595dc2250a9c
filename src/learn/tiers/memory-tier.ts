// The memory tier of one user: hidden states and the tokens that followed them, a continuous cache
// (Grave et al. 2017, arXiv:1612.04426; kNN-LM, arXiv:1911.00172). Exact retrieval, no gradient.
// Independent of the model; memory-gate.ts decides the interpolation weight λ.

import { ShapeError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import {
  type EntriesSnapshot,
  MemoryEntries,
  ROW_MAX,
  type SavedEntries,
} from './memory-entries.ts'
import { computeRetrieval, encodeQuery, type Retrieval } from './retrieval.ts'
import { memoryFields, type MemoryTierOptions } from './tier-options.ts'

const BLOCK_STATES = 32 // states whose dot products are held at a time
// Factor of an entry's usefulness score each turn: an entry that has not helped for some hundred
// turns may be evicted.
const USEFULNESS_DECAY = 0.998

/** A scored position of a turn: its target token, its weight, and what was retrieved there. */
export interface MemoryPosition {
  readonly token: number
  readonly weight: number
  readonly retrieval: Retrieval | undefined
}

/**
 * Dot products of the current states with a user's entries; shared by all users, because retrieval
 * is synchronous.
 */
let scratch = new Int32Array(0)

export class MemoryTier {
  readonly width: number
  readonly capacity: number
  readonly sharpness: number
  /** A new object after every change of the entries: earlier retrievals may name other entries. */
  version: object = {}
  readonly #entries: MemoryEntries

  constructor(width: number, options: MemoryTierOptions = {}) {
    const { capacity, sharpness } = readOptions('Memory', options, memoryFields)
    this.width = width
    this.capacity = capacity
    this.sharpness = sharpness
    this.#entries = new MemoryEntries(width, capacity)
  }

  get count(): number {
    return this.#entries.count
  }

  get sizeBytes(): number {
    return this.#entries.sizeBytes
  }

  /** Stores that `token` followed `hidden` [D]. A state of zeros or with NaN is ignored. */
  add(hidden: Float32Array, token: number): void {
    this.#checkWidth(hidden)
    let largest = 0
    for (const value of hidden) largest = Math.max(largest, Math.abs(value)) // keeps NaN
    if (!(largest > 0 && largest < Infinity)) return
    this.#entries.add(hidden, largest, token)
    this.version = {}
  }

  /**
   * What followed states like this one: shares ∝ Σ exp(θ·h·hᵢ). Undefined for an empty memory and
   * for a state without a direction.
   */
  retrieve(hidden: Float32Array, sharpness = this.sharpness): Retrieval | undefined {
    this.#checkWidth(hidden)
    return this.retrieveAll(hidden, sharpness)[0]
  }

  /** The same for each of several states [T, D], which share passes over the entries. */
  retrieveAll(hidden: Float32Array, sharpness = this.sharpness): (Retrieval | undefined)[] {
    const states = hidden.length / this.width
    if (!Number.isInteger(states))
      throw new ShapeError(
        `Memory: got ${hidden.length} numbers, expected states of ${this.width} each.`,
      )
    if (this.count === 0) return new Array<undefined>(states).fill(undefined)
    const retrievals: (Retrieval | undefined)[] = []
    for (let t = 0; t < states; t += BLOCK_STATES) {
      retrievals.push(
        ...this.#retrieveBlock(
          hidden.subarray(t * this.width, (t + BLOCK_STATES) * this.width),
          sharpness,
        ),
      )
    }
    return retrievals
  }

  #retrieveBlock(hidden: Float32Array, sharpness: number): (Retrieval | undefined)[] {
    const { rows, count, allocated } = this.#entries
    const { stride } = rows
    const states = hidden.length / this.width
    const queries = new Int16Array(states * stride)
    const scales = Array.from({ length: states }, (_, t) =>
      encodeQuery(
        hidden.subarray(t * this.width, (t + 1) * this.width),
        queries.subarray(t * stride, (t + 1) * stride),
        ROW_MAX,
      ),
    )
    if (scratch.length < states * count) scratch = new Int32Array(states * allocated)
    rows.products(queries, count, scratch)
    return scales.map((scale, t) => {
      if (scale === undefined) return undefined
      const sums = scratch.subarray(t * count, (t + 1) * count)
      return computeRetrieval(this.#entries, { sums, scale }, sharpness)
    })
  }

  /**
   * What was stored behind the nearest entry of `token`, as it was taught: at most `most` tokens.
   * Entries are in the order in which they were learned, except where one took another's place.
   */
  listFollowing({ entries, entryShares }: Retrieval, token: number, most: number): number[] {
    const { count, tokens } = this.#entries
    let nearest = -1
    entries.forEach((entry, i) => {
      if (entry >= count || tokens[entry] !== token) return
      if (nearest < 0 || entryShares[i]! > entryShares[nearest]!) nearest = i
    })
    if (nearest < 0) return []
    const start = entries[nearest]! + 1
    return [...tokens.subarray(start, Math.min(count, start + most))]
  }

  /** Raises the usefulness of the entries that predicted `token`, which was the target. */
  reinforce({ entries, entryShares }: Retrieval, token: number): void {
    const { count, tokens, usefulness } = this.#entries
    entries.forEach((entry, i) => {
      if (entry < count && tokens[entry] === token) usefulness[entry]! += entryShares[i]!
    })
  }

  /** Makes entries of a rejected `token` that took part in the retrieval the next to be evicted. */
  penalize({ entries }: Retrieval, token: number): void {
    const { tokens, usefulness } = this.#entries
    for (const entry of entries) if (tokens[entry] === token) usefulness[entry] = 0
  }

  /** Lowers all usefulness scores, so that older ones count less. Called once a turn. */
  decayUsefulness(): void {
    const { count, usefulness } = this.#entries
    for (let i = 0; i < count; i++) usefulness[i]! *= USEFULNESS_DECAY
  }

  /**
   * A learned turn: lowers all usefulness scores, raises or clears those of the entries that were
   * retrieved, then adds the target tokens of positive weight under their keys [T, D].
   */
  learn(positions: readonly MemoryPosition[], keys: Float32Array): void {
    this.decayUsefulness()
    for (const { retrieval, weight, token } of positions) {
      if (retrieval && weight > 0) this.reinforce(retrieval, token)
      if (retrieval && weight < 0) this.penalize(retrieval, token)
    }
    positions.forEach(({ weight, token }, t) => {
      if (weight > 0) this.add(keys.subarray(t * this.width, (t + 1) * this.width), token)
    })
  }

  clear(): void {
    this.#entries.count = 0
    this.version = {}
  }

  /** Copies of what is saved. */
  state(): SavedEntries {
    return this.#entries.state()
  }

  /** The entries as they are now, for `restoreSnapshot`; one before can no longer be restored. */
  takeSnapshot(): EntriesSnapshot {
    return this.#entries.takeSnapshot()
  }

  /** Goes back to the last snapshot. */
  restoreSnapshot(snapshot: EntriesSnapshot): void {
    this.#entries.restoreSnapshot(snapshot)
    this.version = {}
  }

  /** Takes what `state` returned. Throws ShapeError if sizes differ; nothing is changed then. */
  restore(saved: SavedEntries): void {
    const { rows, tokens, usefulness } = saved
    const count = tokens.length
    if (rows.length !== count * this.width || usefulness.length !== count || count > this.capacity)
      throw new ShapeError(
        `Memory: got ${rows.length} numbers and ${usefulness.length} usefulness scores for ${count} entries of width ${this.width}, expected at most ${this.capacity} entries.`,
      )
    this.#entries.restore(saved)
    this.version = {}
  }

  #checkWidth(hidden: Float32Array): void {
    if (hidden.length !== this.width)
      throw new ShapeError(
        `Memory: got a hidden state of ${hidden.length} numbers, expected ${this.width}.`,
      )
  }
}
