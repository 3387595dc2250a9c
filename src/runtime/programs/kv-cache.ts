// Keys and values of the tokens so far, for a batch of sequences of different lengths. Slot s of a
// row has its token at position s; states are those after each row's last token. Independent of the
// graph: entries are passed by layer, and masks select the slots.

import { OptionError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { CacheShape } from '../../graph/cache-shape.ts'
import { toEntryName, toPastName } from './cached-graph.ts'
import { RowStates } from './row-states.ts'

export interface KvCache {
  /** Tokens held, by row. */
  readonly lengths: readonly number[]
  /** Slots of a row, filled or not: a multiple of 64, or 0 at the beginning. */
  readonly capacity: number
  readonly sizeBytes: number
  /** past.<layer>.k and .v [N, K, C, d], past.<state>; the arrays are written to by `append`. */
  feeds(): ReadonlyMap<string, Tensor>
  /**
   * Takes cache.<layer>.k and .v [N, K, T, d] and cache.<state>: of row n the first counts[n]
   * tokens.
   */
  append(entries: ReadonlyMap<string, Tensor>, counts: readonly number[]): void
  /** Drops a row's entries beyond `length` tokens; with states it can only drop everything. */
  truncate(row: number, length: number): void
  /** A copy with the given rows, in that order; rows may come more than once. */
  fork(rows?: readonly number[]): KvCache
}

// slots are added in steps, so that shapes change rarely; growing a long cache adds a sixteenth
export const STEP_SLOTS = 64

const computeCapacity = (tokens: number): number =>
  Math.ceil((tokens + Math.max(STEP_SLOTS / 2, tokens / 16)) / STEP_SLOTS) * STEP_SLOTS

type Slots = ReadonlyMap<string, Tensor<Float32Array>>

/** An empty cache for `batch` rows, with slots for the first tokens where a program needs some. */
export function createKvCache(shape: CacheShape, batch: number, capacity = 0): KvCache {
  const lengths = new Array<number>(batch).fill(0)
  const states = new RowStates(shape.states)
  states.allocate(batch)
  const slots = allocateSlots(shape, batch, capacity)
  return new GrowingKvCache(shape, lengths, capacity, { slots, states })
}

function allocateSlots(
  { layers, kvHeads, headWidth }: CacheShape,
  batch: number,
  capacity: number,
): Slots {
  const slots = new Map<string, Tensor<Float32Array>>()
  for (let layer = 0; layer < layers; layer++) {
    for (const part of ['k', 'v'] as const)
      slots.set(toPastName(layer, part), f32([batch, kvHeads, capacity, headWidth]))
  }
  return slots
}

const listEntryNames = (layers: number) =>
  Array.from({ length: layers }, (_, layer) =>
    (['k', 'v'] as const).map((part) => ({
      past: toPastName(layer, part),
      entry: toEntryName(layer, part),
    })),
  ).flat()

interface CacheContents {
  readonly slots: Slots
  readonly states: RowStates
}

class GrowingKvCache implements KvCache {
  readonly #shape: CacheShape
  readonly #names: ReturnType<typeof listEntryNames>
  #lengths: readonly number[]
  #capacity: number
  #slots: Slots
  readonly #states: RowStates

  constructor(
    shape: CacheShape,
    lengths: readonly number[],
    capacity: number,
    { slots, states }: CacheContents,
  ) {
    this.#shape = shape
    this.#names = listEntryNames(shape.layers)
    this.#lengths = lengths
    this.#capacity = capacity
    this.#slots = slots
    this.#states = states
  }

  get lengths(): readonly number[] {
    return this.#lengths
  }
  get capacity(): number {
    return this.#capacity
  }
  get sizeBytes(): number {
    const { layers, kvHeads, headWidth } = this.#shape
    const slots = 8 * layers * this.#lengths.length * kvHeads * this.#capacity * headWidth
    return slots + this.#states.sizeBytes
  }

  feeds(): ReadonlyMap<string, Tensor> {
    return new Map<string, Tensor>([...this.#slots, ...this.#states.feeds(0, this.#lengths.length)])
  }

  append(outputs: ReadonlyMap<string, Tensor>, counts: readonly number[]): void {
    const grown = this.#lengths.map((length, row) => length + counts[row]!)
    const needed = Math.max(...grown)
    if (needed > this.#capacity) this.#grow(computeCapacity(needed))
    for (const { past, entry } of this.#names) {
      const fresh = outputs.get(entry)! as Tensor<Float32Array>
      this.#write(this.#slots.get(past)!.data, fresh, counts)
    }
    this.#states.append(
      outputs,
      counts.map((count, row) => ({ entry: row, row, count })),
    )
    this.#lengths = grown
  }

  truncate(row: number, length: number): void {
    const held = this.#lengths[row]
    if (held === undefined || length < 0 || length > held) {
      throw new OptionError(
        `KV cache: row ${row} holds ${held ?? 'no'} tokens; it cannot be cut to ${length}.`,
      )
    }
    const hasStates = this.#states.length > 0
    if (hasStates && length > 0 && length < held)
      throw new OptionError(
        `KV cache: row ${row} holds ${held} tokens; it cannot be cut to ${length}, because the model keeps only the states after the last token.`,
      )
    if (hasStates && length === 0) this.#states.reset(row)
    this.#lengths = this.#lengths.with(row, length)
  }

  fork(rows: readonly number[] = [...this.#lengths.keys()]): KvCache {
    const lengths = rows.map((row) => this.#lengths[row]!)
    const slots = this.#copySlots(rows, this.#capacity)
    const states = new RowStates(this.#shape.states)
    states.allocate(rows.length)
    rows.forEach((row, to) => states.copyRowFrom(this.#states, row, to))
    return new GrowingKvCache(this.#shape, lengths, this.#capacity, { slots, states })
  }

  #grow(capacity: number): void {
    this.#slots = this.#copySlots([...this.#lengths.keys()], capacity)
    this.#capacity = capacity
  }

  /** The first counts[row] tokens of `fresh` [N, K, T, d], after the entries of each row. */
  #write(
    out: Float32Array,
    { data, shape }: Tensor<Float32Array>,
    counts: readonly number[],
  ): void {
    const { kvHeads, headWidth } = this.#shape
    const stride = shape[2]! * headWidth
    this.#lengths.forEach((length, row) => {
      for (let head = 0; head < kvHeads; head++) {
        const index = row * kvHeads + head
        out.set(
          data.subarray(index * stride, index * stride + counts[row]! * headWidth),
          (index * this.#capacity + length) * headWidth,
        )
      }
    })
  }

  /** Slots of the given rows with the same contents and another capacity. */
  #copySlots(rows: readonly number[], capacity: number): Slots {
    const { kvHeads, headWidth } = this.#shape
    const target = allocateSlots(this.#shape, rows.length, capacity)
    for (const [name, { data }] of this.#slots) {
      const out = target.get(name)!.data
      rows.forEach((row, to) => {
        for (let head = 0; head < kvHeads; head++) {
          const from = (row * kvHeads + head) * this.#capacity * headWidth
          out.set(
            data.subarray(from, from + this.#lengths[row]! * headWidth),
            (to * kvHeads + head) * capacity * headWidth,
          )
        }
      })
    }
    return target
  }
}
