// The memory tier of one user: final hidden states and the tokens that followed them, a continuous
// cache (Grave et al. 2017, arXiv:1612.04426; kNN-LM, arXiv:1911.00172). Exact look-up, no
// gradient. Knows no model; how much it is believed is blend.ts's business.

import { OptionError, ShapeError } from '../../base/errors.ts'
import { RowStore } from './row-store.ts'

export interface MemoryTierOptions {
  /** Pairs at most; the least useful one leaves for a new one. 10,000 unless given. */
  readonly capacity?: number
  /**
   * θ: how steeply closeness counts at first; it is learned. 80 unless given (docs/learn.md has the
   * measurements).
   */
  readonly sharpness?: number
}

/** What the memory says about the next token. */
export interface Retrieval {
  /** Tokens and their shares, which add up to 1; the nearest pair's token first. */
  readonly tokens: Int32Array
  readonly shares: Float32Array
  /** Σ p·ln p over each token's pairs: how its share changes with θ. */
  readonly logs: Float32Array
  /** h·hᵢ of the nearest pair, both of length 1. */
  readonly nearest: number
  /** Pairs that took part, and their part of the sum; for `reward`. */
  readonly pairs: Int32Array
  readonly parts: Float32Array
}

const ROW_MAX = 127
const QUERY_MAX = 16383
const SUM_MAX = 2 ** 31 - 1 // a query's numbers are smaller where a row of 127s would take a product beyond it
const WEIGHT_CUTOFF = 7 // pairs whose weight is below e⁻⁷ of the nearest one's are left out: at 12 the loss is the same, and thousands take part
const BLOCK_STATES = 32 // states whose sums are held at a time
const USEFULNESS_DECAY = 0.998 // of a pair's credit each turn: what has not helped for some hundred turns may go

/**
 * Products of the states at hand with a user's pairs; shared by all users, since no look-up waits
 * for anything.
 */
let scratch = new Int32Array(0)

/** Products of one state with the pairs, and what turns them into h·hᵢ. */
interface QueryProducts {
  readonly sums: Int32Array
  readonly scale: number
  readonly sharpness: number
  readonly nearest: number
}

export class MemoryTier {
  readonly width: number
  readonly capacity: number
  readonly sharpness: number
  readonly #rows: RowStore
  /**
   * Another object after every change of the pairs: what was recalled under another one may name
   * others.
   */
  version: object = {}
  #allocated = 0
  #count = 0
  /** 1 / ‖row‖ of the stored whole numbers, so that rounding leaves lengths at 1. */
  #scales = new Float32Array(0)
  #tokens = new Int32Array(0)
  #usefulness = new Float32Array(0)

  constructor(width: number, { capacity = 10_000, sharpness = 80 }: MemoryTierOptions = {}) {
    if (!(Number.isInteger(capacity) && capacity > 0 && capacity <= 1_000_000))
      throw new OptionError(
        `Memory: capacity is ${capacity}, expected a whole number from 1 to 1,000,000.`,
      )
    if (!(sharpness > 0 && Number.isFinite(sharpness)))
      throw new OptionError(`Memory: sharpness is ${sharpness}, expected a number above 0.`)
    this.width = width
    this.capacity = capacity
    this.sharpness = sharpness
    this.#rows = new RowStore(width)
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#allocated * (this.#rows.stride + 12)
  }

  /** Remembers that `token` followed `hidden` [D]. A state of zeros or with NaN is passed over. */
  add(hidden: Float32Array, token: number): void {
    this.#checkWidth(hidden)
    let largest = 0
    for (const value of hidden) largest = Math.max(largest, Math.abs(value)) // keeps NaN
    if (!(largest > 0 && largest < Infinity)) return
    const at = this.#count < this.capacity ? this.#count++ : this.#findLeastUseful()
    this.#reserve(this.#count)
    const row = this.#rows.row(at)
    let square = 0
    for (let i = 0; i < this.width; i++) {
      const value = Math.round((hidden[i]! / largest) * ROW_MAX)
      row[i] = value
      square += value * value
    }
    this.#rows.markChanged(at)
    this.#scales[at] = 1 / Math.sqrt(square)
    this.#tokens[at] = token
    this.version = {}
    this.#usefulness[at] = 1
  }

  /**
   * What followed states like this one: shares ∝ Σ exp(θ·h·hᵢ). Undefined while nothing is
   * remembered, or for a state that has no direction.
   */
  retrieve(hidden: Float32Array, sharpness = this.sharpness): Retrieval | undefined {
    this.#checkWidth(hidden)
    return this.retrieveAll(hidden, sharpness)[0]
  }

  /** The same for each of several states [T, D], which share passes over the pairs. */
  retrieveAll(hidden: Float32Array, sharpness = this.sharpness): (Retrieval | undefined)[] {
    const states = hidden.length / this.width
    if (!Number.isInteger(states))
      throw new ShapeError(
        `Memory: got ${hidden.length} numbers, expected states of ${this.width} each.`,
      )
    if (this.#count === 0) return new Array<undefined>(states).fill(undefined)
    const recalls: (Retrieval | undefined)[] = []
    for (let t = 0; t < states; t += BLOCK_STATES) {
      recalls.push(
        ...this.#retrieveBlock(
          hidden.subarray(t * this.width, (t + BLOCK_STATES) * this.width),
          sharpness,
        ),
      )
    }
    return recalls
  }

  #retrieveBlock(hidden: Float32Array, sharpness: number): (Retrieval | undefined)[] {
    const { stride } = this.#rows
    const states = hidden.length / this.width
    const queries = new Int16Array(states * stride)
    const scales = Array.from({ length: states }, (_, t) =>
      this.#encodeQuery(
        hidden.subarray(t * this.width, (t + 1) * this.width),
        queries.subarray(t * stride, (t + 1) * stride),
      ),
    )
    if (scratch.length < states * this.#count) scratch = new Int32Array(states * this.#allocated)
    this.#rows.products(queries, this.#count, scratch)
    return scales.map((scale, t) =>
      scale === undefined ? undefined : this.#buildRetrieval(t, scale, sharpness),
    )
  }

  #buildRetrieval(row: number, scale: number, sharpness: number): Retrieval {
    const sums = scratch.subarray(row * this.#count, (row + 1) * this.#count)
    const scales = this.#scales
    const count = this.#count
    let best = -Infinity
    for (let i = 0; i < count; i++) {
      const value = sums[i]! * scales[i]!
      if (value > best) best = value
    }
    const floor = best - WEIGHT_CUTOFF / (sharpness * scale)
    const found: number[] = []
    for (let i = 0; i < count; i++) if (sums[i]! * scales[i]! >= floor) found.push(i)
    return this.#computeShares(found, { sums, scale, sharpness, nearest: best * scale })
  }

  #computeShares(
    found: readonly number[],
    { sums, scale, sharpness, nearest }: QueryProducts,
  ): Retrieval {
    const pairs = Int32Array.from(found)
    const parts = Float32Array.from(found, (i) =>
      Math.exp(sharpness * (sums[i]! * this.#scales[i]! * scale - nearest)),
    )
    const total = parts.reduce((sum, part) => sum + part, 0)
    const byToken = new Map<number, { share: number; log: number }>()
    let first = 0
    let most = -1
    pairs.forEach((pair, i) => {
      const part = (parts[i]! /= total)
      const token = this.#tokens[pair]!
      const said = byToken.get(token) ?? { share: 0, log: 0 }
      said.share += part
      said.log += part * Math.log(Math.max(part, 1e-30))
      byToken.set(token, said)
      if (part > most) {
        first = token
        most = part
      }
    })
    const tokens = [first, ...[...byToken.keys()].filter((token) => token !== first)]
    return {
      tokens: Int32Array.from(tokens),
      shares: Float32Array.from(tokens, (token) => byToken.get(token)!.share),
      logs: Float32Array.from(tokens, (token) => byToken.get(token)!.log),
      nearest: Math.min(1, nearest),
      pairs,
      parts,
    }
  }

  /** Credits the pairs that said `token` when it came. */
  reinforce({ pairs, parts }: Retrieval, token: number): void {
    pairs.forEach((pair, i) => {
      if (pair < this.#count && this.#tokens[pair] === token) this.#usefulness[pair]! += parts[i]!
    })
  }

  /**
   * Takes away pairs that stand for what was rejected: those of `token` that took part in the
   * recall.
   */
  penalize({ pairs }: Retrieval, token: number): void {
    for (const pair of pairs) if (this.#tokens[pair] === token) this.#usefulness[pair] = 0
  }

  /** Older credit counts less. Called once a turn. */
  decayUsefulness(): void {
    for (let i = 0; i < this.#count; i++) this.#usefulness[i]! *= USEFULNESS_DECAY
  }

  clear(): void {
    this.#count = 0
    this.version = {}
  }

  /** What is kept of it: rows as whole numbers [n, D], their tokens and credits. Copies. */
  state(): {
    readonly rows: Int8Array
    readonly tokens: Int32Array
    readonly credits: Float32Array
  } {
    const rows = new Int8Array(this.#count * this.width)
    for (let i = 0; i < this.#count; i++)
      rows.set(this.#rows.row(i).subarray(0, this.width), i * this.width)
    return {
      rows,
      tokens: this.#tokens.slice(0, this.#count),
      credits: this.#usefulness.slice(0, this.#count),
    }
  }

  /** Takes what `state` gave. Throws ShapeError where sizes do not fit; nothing is changed then. */
  restore({ rows, tokens, credits }: ReturnType<MemoryTier['state']>): void {
    const count = tokens.length
    if (rows.length !== count * this.width || credits.length !== count || count > this.capacity)
      throw new ShapeError(
        `Memory: got ${rows.length} numbers and ${credits.length} credits for ${count} pairs of width ${this.width}, at most ${this.capacity} pairs.`,
      )
    this.#count = count
    this.#reserve(count)
    for (let i = 0; i < count; i++) {
      const row = rows.subarray(i * this.width, (i + 1) * this.width)
      this.#rows.row(i).set(row)
      this.#rows.markChanged(i)
      this.#scales[i] =
        1 /
        Math.sqrt(
          Math.max(
            1,
            row.reduce((sum, value) => sum + value * value, 0),
          ),
        )
    }
    this.version = {}
    this.#tokens.set(tokens)
    this.#usefulness.set(credits)
  }

  #checkWidth(hidden: Float32Array): void {
    if (hidden.length !== this.width)
      throw new ShapeError(
        `Memory: got a hidden state of ${hidden.length} numbers, expected ${this.width}.`,
      )
  }

  /**
   * Writes the state as whole numbers; gives what a product with it is multiplied by to be that of
   * vectors of length 1. Undefined: no direction.
   */
  #encodeQuery(hidden: Float32Array, into: Int16Array): number | undefined {
    let largest = 0
    let square = 0
    let sum = 0
    for (const value of hidden) {
      const size = Math.abs(value)
      largest = Math.max(largest, size)
      square += value * value
      sum += size
    }
    if (!(largest > 0 && square < Infinity)) return undefined
    const factor = Math.min(QUERY_MAX / largest, SUM_MAX / ROW_MAX / (sum + largest))
    for (let i = 0; i < this.width; i++) into[i] = Math.round(hidden[i]! * factor)
    return 1 / (factor * Math.sqrt(square))
  }

  #findLeastUseful(): number {
    let worst = 0
    for (let i = 1; i < this.#count; i++)
      if (this.#usefulness[i]! < this.#usefulness[worst]!) worst = i
    return worst
  }

  #reserve(count: number): void {
    if (count <= this.#allocated) return
    this.#allocated = Math.min(this.capacity, Math.max(256, count, this.#allocated * 2))
    this.#rows.grow(this.#allocated)
    const wider = <Values extends Float32Array | Int32Array>(
      values: Values,
      made: Values,
    ): Values => {
      made.set(values)
      return made
    }
    this.#scales = wider(this.#scales, new Float32Array(this.#allocated))
    this.#tokens = wider(this.#tokens, new Int32Array(this.#allocated))
    this.#usefulness = wider(this.#usefulness, new Float32Array(this.#allocated))
  }
}
