// The memory tier of one user: final hidden states and the tokens that followed them, a continuous cache (Grave et al. 2017, arXiv:1612.04426;
// kNN-LM, arXiv:1911.00172). Exact look-up, no gradient. Knows no model; how much it is believed is blend.ts's business.

import { OptionError, ShapeError } from '../base/errors.ts'
import { type RowStore, rowStore } from './similarity.ts'

export interface MemoryOptions {
  /** Pairs at most; the least useful one leaves for a new one. 10,000 unless given. */
  readonly capacity?: number
  /** θ: how steeply closeness counts. 80 unless given (docs/learn.md has the measurements). */
  readonly sharpness?: number
}

/** What the memory says about the next token. */
export interface Recall {
  /** Tokens and their shares, which add up to 1; the nearest pair's token first. */
  readonly tokens: Int32Array
  readonly shares: Float32Array
  /** h·hᵢ of the nearest pair, both of length 1. */
  readonly nearest: number
  /** Pairs that took part, and their part of the sum; for `reward`. */
  readonly pairs: Int32Array
  readonly parts: Float32Array
}

const ROW_MAX = 127
const QUERY_MAX = 16383 // products of a row of up to 10⁵ numbers stay within 32 bits, since both have length 1 before scaling
const REACH = 12 // pairs whose weight is below e⁻¹² of the nearest one's are left out
const FADE = 0.998 // of a pair's credit each turn: what has not helped for some hundred turns may go

export class MemoryTier {
  readonly width: number
  readonly capacity: number
  readonly sharpness: number
  #rows: RowStore
  #room = 0
  #count = 0
  /** 1 / ‖row‖ of the stored whole numbers, so that rounding leaves lengths at 1. */
  #scales = new Float32Array(0)
  #tokens = new Int32Array(0)
  #credits = new Float32Array(0)
  #sums = new Int32Array(0)

  constructor(width: number, { capacity = 10_000, sharpness = 80 }: MemoryOptions = {}) {
    if (!(Number.isInteger(capacity) && capacity > 0 && capacity <= 1_000_000))
      throw new OptionError(`Memory: capacity is ${capacity}, expected a whole number from 1 to 1,000,000.`)
    if (!(sharpness > 0 && Number.isFinite(sharpness)))
      throw new OptionError(`Memory: sharpness is ${sharpness}, expected a number above 0.`)
    this.width = width
    this.capacity = capacity
    this.sharpness = sharpness
    this.#rows = rowStore(width)
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#room * (this.#rows.stride + 12)
  }

  /** Remembers that `token` followed `hidden` [D]. A state of zeros or with NaN is passed over. */
  add(hidden: Float32Array, token: number): void {
    this.#check(hidden)
    let largest = 0
    for (const value of hidden) largest = Math.max(largest, Math.abs(value)) // keeps NaN
    if (!(largest > 0 && largest < Infinity)) return
    const at = this.#count < this.capacity ? this.#count++ : this.#leastUseful()
    this.#reserve(this.#count)
    const { stride } = this.#rows
    const row = this.#rows.rows().subarray(at * stride, (at + 1) * stride)
    let square = 0
    for (let i = 0; i < this.width; i++) {
      const value = Math.round((hidden[i]! / largest) * ROW_MAX)
      row[i] = value
      square += value * value
    }
    this.#scales[at] = 1 / Math.sqrt(square)
    this.#tokens[at] = token
    this.#credits[at] = 1
  }

  /** What followed states like this one: shares ∝ Σ exp(θ·h·hᵢ). Undefined while nothing is remembered, or for a state that has no direction. */
  recall(hidden: Float32Array): Recall | undefined {
    this.#check(hidden)
    const query = this.#query(hidden)
    if (this.#count === 0 || !query) return undefined
    this.#rows.products(query.values, this.#count, this.#sums)
    let best = -Infinity
    for (let i = 0; i < this.#count; i++) best = Math.max(best, this.#sums[i]! * this.#scales[i]!)
    const floor = best - REACH / (this.sharpness * query.scale)
    const found: number[] = []
    for (let i = 0; i < this.#count; i++) if (this.#sums[i]! * this.#scales[i]! >= floor) found.push(i)
    return this.#shared(found, query.scale, best * query.scale)
  }

  #shared(found: readonly number[], scale: number, nearest: number): Recall {
    const pairs = Int32Array.from(found)
    const parts = Float32Array.from(found, (i) => Math.exp(this.sharpness * (this.#sums[i]! * this.#scales[i]! * scale - nearest)))
    const total = parts.reduce((sum, part) => sum + part, 0)
    const byToken = new Map<number, number>()
    let [first, most] = [0, -1]
    pairs.forEach((pair, i) => {
      parts[i]! /= total
      const token = this.#tokens[pair]!
      byToken.set(token, (byToken.get(token) ?? 0) + parts[i]!)
      if (parts[i]! > most) [first, most] = [token, parts[i]!]
    })
    const share = byToken.get(first)!
    byToken.delete(first)
    return {
      tokens: Int32Array.of(first, ...byToken.keys()),
      shares: Float32Array.of(share, ...byToken.values()),
      nearest: Math.min(1, nearest),
      pairs,
      parts,
    }
  }

  /** Credits the pairs that said `token` when it came. */
  reward({ pairs, parts }: Recall, token: number): void {
    pairs.forEach((pair, i) => {
      if (pair < this.#count && this.#tokens[pair] === token) this.#credits[pair]! += parts[i]!
    })
  }

  /** Takes away pairs that stand for what was rejected: those of `token` that took part in the recall. */
  forget({ pairs }: Recall, token: number): void {
    for (const pair of pairs) if (this.#tokens[pair] === token) this.#credits[pair] = 0
  }

  /** Older credit counts less. Called once a turn. */
  fade(): void {
    for (let i = 0; i < this.#count; i++) this.#credits[i]! *= FADE
  }

  clear(): void {
    this.#count = 0
  }

  /** What is kept of it: rows as whole numbers [n, D], their tokens and credits. Copies. */
  state(): { readonly rows: Int8Array; readonly tokens: Int32Array; readonly credits: Float32Array } {
    const { stride } = this.#rows
    const rows = new Int8Array(this.#count * this.width)
    const held = this.#rows.rows()
    for (let i = 0; i < this.#count; i++) rows.set(held.subarray(i * stride, i * stride + this.width), i * this.width)
    return { rows, tokens: this.#tokens.slice(0, this.#count), credits: this.#credits.slice(0, this.#count) }
  }

  /** Takes what `state` gave. Throws ShapeError where sizes do not fit; nothing is changed then. */
  restore({ rows, tokens, credits }: ReturnType<MemoryTier['state']>): void {
    const count = tokens.length
    if (rows.length !== count * this.width || credits.length !== count || count > this.capacity)
      throw new ShapeError(`Memory: got ${rows.length} numbers and ${credits.length} credits for ${count} pairs of width ${this.width}, at most ${this.capacity} pairs.`) // prettier-ignore
    this.#count = count
    this.#reserve(count)
    const { stride } = this.#rows
    const held = this.#rows.rows()
    for (let i = 0; i < count; i++) {
      const row = rows.subarray(i * this.width, (i + 1) * this.width)
      held.set(row, i * stride)
      this.#scales[i] = 1 / Math.sqrt(Math.max(1, row.reduce((sum, value) => sum + value * value, 0))) // prettier-ignore
    }
    this.#tokens.set(tokens)
    this.#credits.set(credits)
  }

  #check(hidden: Float32Array): void {
    if (hidden.length !== this.width)
      throw new ShapeError(`Memory: got a hidden state of ${hidden.length} numbers, expected ${this.width}.`)
  }

  /** The state as whole numbers, and what a product with it is multiplied by to be that of vectors of length 1. */
  #query(hidden: Float32Array): { values: Int16Array; scale: number } | undefined {
    let [largest, square] = [0, 0]
    for (const value of hidden) {
      largest = Math.max(largest, Math.abs(value))
      square += value * value
    }
    if (!(largest > 0 && square < Infinity)) return undefined
    const values = new Int16Array(this.#rows.stride)
    for (let i = 0; i < this.width; i++) values[i] = Math.round((hidden[i]! / largest) * QUERY_MAX)
    return { values, scale: largest / (QUERY_MAX * Math.sqrt(square)) }
  }

  #leastUseful(): number {
    let worst = 0
    for (let i = 1; i < this.#count; i++) if (this.#credits[i]! < this.#credits[worst]!) worst = i
    return worst
  }

  #reserve(count: number): void {
    if (count <= this.#room) return
    this.#room = Math.min(this.capacity, Math.max(256, count, this.#room * 2))
    this.#rows.grow(this.#room)
    const wider = <Values extends Float32Array | Int32Array>(values: Values, made: Values): Values => {
      made.set(values)
      return made
    }
    this.#scales = wider(this.#scales, new Float32Array(this.#room))
    this.#tokens = wider(this.#tokens, new Int32Array(this.#room))
    this.#credits = wider(this.#credits, new Float32Array(this.#room))
    this.#sums = new Int32Array(this.#room)
  }
}
