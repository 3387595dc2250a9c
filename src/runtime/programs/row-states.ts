// The states of fixed size that rows have in addition to keys and values: the window of a
// convolution, the matrix of a recurrence. Always 32-bit floats. Independent of which sequence uses
// which row.

import { assertInternal } from '../../base/errors.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import type { StateShape } from '../../graph/cache-shape.ts'
import { toStateEntryName, toStatePastName } from './cached-graph.ts'

/** Which entry of a call [N] has a row's new tokens, and how many of them count. */
export interface StatePlace {
  readonly entry: number
  readonly row: number
  readonly count: number
}

/** Numbers of the states of one row. */
export const countStateNumbers = (shapes: readonly StateShape[] = []): number =>
  shapes.reduce((sum, { shape }) => sum + sizeOf(shape), 0)

/** Whether the states after every token of a call are known, not only those after its last one. */
export const areKnownBetween = (shapes: readonly StateShape[] = []): boolean =>
  shapes.every(({ kind }) => kind === 'window')

export class RowStates {
  readonly #shapes: readonly StateShape[]
  readonly #sizes: readonly number[]
  #arrays: readonly Float32Array[]
  #rows = 0

  constructor(shapes: readonly StateShape[] = []) {
    this.#shapes = shapes
    this.#sizes = shapes.map(({ shape }) => sizeOf(shape))
    this.#arrays = shapes.map(() => new Float32Array(0))
  }

  get sizeBytes(): number {
    return 4 * this.#rows * this.length
  }
  /** Numbers of one row. */
  get length(): number {
    return countStateNumbers(this.#shapes)
  }

  /** Makes room for `rows` rows and keeps what they hold; new ones are in their first state. */
  allocate(rows: number): void {
    if (rows <= this.#rows) return
    this.#arrays = this.#arrays.map((values, i) => {
      const grown = new Float32Array(rows * this.#sizes[i]!)
      grown.set(values)
      return grown
    })
    this.#rows = rows
  }

  /** past.<state> [count, …] of the rows `from` … `from + count` − 1: views. */
  feeds(from: number, count: number): [string, Tensor][] {
    return this.#shapes.map(({ name, shape }, i) => {
      const size = this.#sizes[i]!
      const data = this.#arrays[i]!.subarray(from * size, (from + count) * size)
      return [toStatePastName(name), { dtype: 'f32', shape: [count, ...shape], data }]
    })
  }

  get areKnownBetween(): boolean {
    return areKnownBetween(this.#shapes)
  }

  /** The states of a row after the first `count` of its new tokens, concatenated. */
  readBehind(
    outputs: ReadonlyMap<string, Tensor>,
    place: StatePlace,
    into: Float32Array,
  ): Float32Array {
    let at = 0
    for (const [i, size] of this.#sizes.entries()) {
      this.#readState(i, outputs, place, into.subarray(at, at + size))
      at += size
    }
    return into
  }

  /** Takes the outputs of a call: for each place, the first `count` new tokens of its row. */
  append(outputs: ReadonlyMap<string, Tensor>, places: readonly StatePlace[]): void {
    for (const [i, values] of this.#arrays.entries()) {
      const size = this.#sizes[i]!
      const isWindow = this.#shapes[i]!.kind === 'window'
      const kept = new Float32Array(isWindow ? size : 0)
      for (const place of places) {
        if (place.count === 0) continue
        const row = values.subarray(place.row * size, (place.row + 1) * size)
        if (!isWindow) this.#readState(i, outputs, place, row)
        else {
          this.#readState(i, outputs, place, kept)
          row.set(kept)
        }
      }
    }
  }

  /** State i after the first `count` new tokens; of a recurrence, after all of them. */
  #readState(
    i: number,
    outputs: ReadonlyMap<string, Tensor>,
    { entry, row, count }: StatePlace,
    into: Float32Array,
  ): void {
    const { name, kind, shape } = this.#shapes[i]!
    const size = this.#sizes[i]!
    const tensor = outputs.get(toStateEntryName(name))
    assertInternal(tensor, `the call has no output ${toStateEntryName(name)}`)
    const fresh = tensor.data as Float32Array
    if (kind === 'recurrence') return into.set(fresh.subarray(entry * size, (entry + 1) * size))
    // the last entries of [window | new tokens]
    const width = shape[1]!
    const end = (entry * tensor.shape[1]! + count) * width
    const old = Math.max(0, size - count * width)
    const from = (row + 1) * size - old
    into.set(this.#arrays[i]!.subarray(from, from + old))
    into.set(fresh.subarray(end - (size - old), end), old)
  }

  /** Copies the states of a row of these or other arrays. */
  copyRowFrom(source: RowStates, from: number, to: number): void {
    this.#arrays.forEach((values, i) => {
      const size = this.#sizes[i]!
      values.set(source.#arrays[i]!.subarray(from * size, (from + 1) * size), to * size)
    })
  }

  /** Exchanges the states of two rows. */
  swapRows(one: number, two: number): void {
    const kept = this.read(one, new Float32Array(this.length))
    this.copyRowFrom(this, two, one)
    this.write(two, kept)
  }

  /** Puts a row into the state before the first token. */
  reset(row: number): void {
    this.#arrays.forEach((values, i) => {
      const size = this.#sizes[i]!
      values.fill(0, row * size, (row + 1) * size)
    })
  }

  /** The states of a row, one after the other. */
  read(row: number, into: Float32Array): Float32Array {
    let at = 0
    for (const [i, values] of this.#arrays.entries()) {
      const size = this.#sizes[i]!
      into.set(values.subarray(row * size, (row + 1) * size), at)
      at += size
    }
    return into
  }

  write(row: number, states: Float32Array): void {
    let at = 0
    for (const [i, values] of this.#arrays.entries()) {
      const size = this.#sizes[i]!
      values.set(states.subarray(at, at + size), row * size)
      at += size
    }
  }

  /** Whether the last state is finite: NaN or infinity in an earlier layer has reached it. */
  isFinite(row: number): boolean {
    const size = this.#sizes.at(-1) ?? 0
    const values = this.#arrays.at(-1)
    for (let i = row * size; i < (row + 1) * size; i++)
      if (!Number.isFinite(values![i])) return false
    return true
  }
}
