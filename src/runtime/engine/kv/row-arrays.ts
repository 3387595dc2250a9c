// The arrays behind a bank: by layer and part one array [R, K, C, d]. Independent of which sequence
// uses which row.

import { assertInternal } from '../../../base/errors.ts'
import type { Tensor } from '../../../base/tensor.ts'
import { computeKvWidth, toEntryName, toKvDtype, toPastName } from '../../programs/cached-graph.ts'
import { GrowingArrays } from './growing-arrays.ts'
import { BLOCK_SIZE, type KvShape } from './kv-types.ts'
import {
  convertValues,
  countElementBytes,
  createValues,
  elementOf,
  type KvElement,
  type KvValues,
} from './values.ts'

/** Addresses are reserved for this many rows, and for rows this many times as long. */
const RESERVED_ROWS = 16
const RESERVED_GROWTH = 4
/** How many ranges of rows keep their views. */
const KEPT_FEEDS = 32

/** Where a row takes tokens of a call's entries [N, K, T, d]. */
export interface EntryPlace {
  /** Place in N. */
  readonly entry: number
  readonly row: number
  /** Position of the first token. */
  readonly position: number
  readonly count: number
}

/** Elements of a block's keys and values: [part, K, 16, d] with the parts k and v of each layer. */
export const countBlockElements = (
  { layers, kvHeads, headWidth }: KvShape,
  element: KvElement,
): number => 2 * layers * kvHeads * BLOCK_SIZE * computeKvWidth(element, headWidth)

export class RowArrays {
  readonly #shape: KvShape
  readonly #element: KvElement
  readonly #arrays: GrowingArrays
  readonly #feeds = new Map<string, ReadonlyMap<string, Tensor>>()
  /** Slots of a row, C; changes by `widen` alone. */
  capacity: number
  #rows = 0 // R
  #rounded: KvValues | undefined

  constructor(shape: KvShape, element: KvElement, capacity: number) {
    // Lengths count elements from here on: an int8 vector has more elements than numbers.
    const headWidth = computeKvWidth(element, shape.headWidth)
    this.#shape = Object.assign({}, shape, { headWidth })
    this.#element = element
    this.capacity = capacity
    this.#arrays = new GrowingArrays(element, 2 * shape.layers)
  }

  get sizeBytes(): number {
    const length = this.#rows * this.#rowLength
    return 2 * this.#shape.layers * length * countElementBytes(this.#element)
  }

  /** Elements of a row in one part. */
  get #rowLength(): number {
    return this.#shape.kvHeads * this.capacity * this.#shape.headWidth
  }

  /** Makes R at least `rows`, in steps of powers of two. */
  allocate(rows: number): void {
    if (rows > this.#rows) this.#fit(2 ** Math.ceil(Math.log2(rows)), this.capacity)
  }

  /** Whether `widen` to this capacity needs no new arrays. */
  canWiden(capacity: number): boolean {
    const { kvHeads, headWidth } = this.#shape
    return this.#rows > 0 && this.#arrays.canGrow(this.#rows * kvHeads * capacity * headWidth)
  }

  /** Makes rows longer in place; of row i the first lengths[i] positions are kept. */
  widen(capacity: number, lengths: readonly number[]): void {
    const { kvHeads, headWidth } = this.#shape
    const before = this.capacity
    this.#fit(this.#rows, capacity)
    for (const values of this.#arrays.values) {
      // the last one first, so that nothing is overwritten before it has moved
      for (let index = lengths.length * kvHeads - 1; index > 0; index--) {
        const from = index * before * headWidth
        const count = lengths[Math.floor(index / kvHeads)]! * headWidth
        values.copyWithin(index * capacity * headWidth, from, from + count)
      }
    }
  }

  /** Empties the arrays; the buffers are the caller's to free. */
  release(): readonly ArrayBuffer[] {
    this.#rows = 0
    this.#rounded = undefined
    this.#feeds.clear()
    return this.#arrays.release()
  }

  feeds(from: number, count: number): ReadonlyMap<string, Tensor> {
    const key = `${from}+${count}`
    const known = this.#feeds.get(key)
    if (known) return known
    assertInternal(from + count <= this.#rows, `rows ${key} are fed, but there are ${this.#rows}`)
    if (this.#feeds.size === KEPT_FEEDS) this.#feeds.clear()
    const shape = [count, this.#shape.kvHeads, this.capacity, this.#shape.headWidth]
    const length = this.#rowLength
    const made = new Map(
      this.#arrays.values.map((values, part): [string, Tensor] => [
        toPastName(...toPlace(part)),
        {
          dtype: toKvDtype(this.#element),
          shape,
          data: values.subarray(from * length, (from + count) * length),
        },
      ]),
    )
    this.#feeds.set(key, made)
    return made
  }

  /** Takes tokens of cache.<layer>.k and .v [N, K, T, d]. */
  append(outputs: ReadonlyMap<string, Tensor>, places: readonly EntryPlace[]): void {
    const { kvHeads, headWidth } = this.#shape
    for (const [part, values] of this.#arrays.values.entries()) {
      const name = toEntryName(...toPlace(part))
      const tensor = outputs.get(name)
      assertInternal(tensor, `the call has no output ${name}`)
      const stride = tensor.shape[2]! * headWidth
      const data = this.#toElement(tensor.data as KvValues)
      for (const { entry: item, row, position, count } of places) {
        for (let head = 0; head < kvHeads; head++) {
          const from = (item * kvHeads + head) * stride
          const at = ((row * kvHeads + head) * this.capacity + position) * headWidth
          values.set(data.subarray(from, from + count * headWidth), at)
        }
      }
    }
  }

  /** Copies the first `length` positions of a row of these or other arrays. */
  copyRowFrom(source: RowArrays, from: number, to: number, length: number): void {
    const { kvHeads, headWidth } = this.#shape
    const count = length * headWidth
    this.#arrays.values.forEach((values, i) => {
      const other = source.#arrays.values[i]!
      for (let head = 0; head < kvHeads; head++) {
        const at = (to * kvHeads + head) * this.capacity * headWidth
        const start = (from * kvHeads + head) * source.capacity * headWidth
        if (other === values) values.copyWithin(at, start, start + count)
        else values.set(other.subarray(start, start + count), at)
      }
    })
  }

  /** Exchanges the first `length` positions of two rows. */
  swapRows(one: number, two: number, length: number): void {
    const { kvHeads, headWidth } = this.#shape
    const count = length * headWidth
    const kept = createValues(this.#element, count)
    for (const values of this.#arrays.values) {
      for (let head = 0; head < kvHeads; head++) {
        const first = (one * kvHeads + head) * this.capacity * headWidth
        const second = (two * kvHeads + head) * this.capacity * headWidth
        kept.set(values.subarray(first, first + count))
        values.copyWithin(first, second, second + count)
        values.set(kept, second)
      }
    }
  }

  /** Copies the 16 positions from `position` on into a block. */
  readBlock(row: number, position: number, block: KvValues): void {
    this.#walkBlock(row, position, (values, at, from, count) =>
      block.set(values.subarray(at, at + count), from),
    )
  }

  /** Copies a block into the 16 positions from `position` on. */
  writeBlock(row: number, position: number, block: KvValues): void {
    this.#walkBlock(row, position, (values, at, from, count) =>
      values.set(block.subarray(from, from + count), at),
    )
  }

  /**
   * Whether the last layer has finite values at these positions. NaN or infinity in an earlier
   * layer has reached it, because states pass from layer to layer and one bad value makes the whole
   * norm NaN.
   */
  isFinite(row: number, position: number, count: number): boolean {
    const { kvHeads, headWidth } = this.#shape
    return this.#arrays.values.slice(-2).every((values) => {
      for (let head = 0; head < kvHeads; head++) {
        const at = ((row * kvHeads + head) * this.capacity + position) * headWidth
        for (let i = 0; i < count; i++)
          if (!isFiniteElement(values, at + i * headWidth)) return false
      }
      return true
    })
  }

  /** Sets a row to zero. A masked slot counts 0 times its value, which must be finite for that. */
  clear(row: number): void {
    const start = row * this.#rowLength
    for (const values of this.#arrays.values) values.fill(0, start, start + this.#rowLength)
  }

  #walkBlock(
    row: number,
    position: number,
    take: (values: KvValues, at: number, from: number, count: number) => void,
  ): void {
    const { kvHeads, headWidth } = this.#shape
    const count = BLOCK_SIZE * headWidth
    let from = 0
    for (const values of this.#arrays.values) {
      for (let head = 0; head < kvHeads; head++) {
        take(values, ((row * kvHeads + head) * this.capacity + position) * headWidth, from, count)
        from += count
      }
    }
  }

  #fit(rows: number, capacity: number): void {
    const { kvHeads, headWidth } = this.#shape
    const rowLength = kvHeads * capacity * headWidth
    const reserved = Math.max(rows, RESERVED_ROWS) * rowLength * RESERVED_GROWTH
    this.#arrays.grow(rows * rowLength, reserved)
    this.#rows = rows
    this.capacity = capacity
    this.#feeds.clear()
  }

  /** The same numbers in the arrays' element type. */
  #toElement(data: KvValues): KvValues {
    if (elementOf(data) === this.#element) return data
    assertInternal(this.#element !== 'int8', 'vectors of bytes come packed from programs')
    if ((this.#rounded?.length ?? 0) < data.length)
      this.#rounded = createValues(this.#element, data.length)
    convertValues(data, this.#rounded!.subarray(0, data.length))
    return this.#rounded!
  }
}

const toPlace = (part: number) => [part >> 1, part % 2 === 0 ? 'k' : 'v'] as const

/** The bytes of int8 vectors always represent finite numbers. */
const isFiniteElement = (values: KvValues, at: number): boolean =>
  values instanceof Float32Array
    ? Number.isFinite(values[at])
    : values instanceof Int8Array || (values[at]! & 0x7c00) !== 0x7c00
