// The contents of a bank's rows: keys and values by position, and the states after their last ones.
// Independent of which sequence uses which row.

import type { Tensor } from '../../../base/tensor.ts'
import { RowStates } from '../../programs/row-states.ts'
import { viewBlockStates } from './block-states.ts'
import { BLOCK_SIZE, type KvShape } from './kv-types.ts'
import { type EntryPlace, RowArrays } from './row-arrays.ts'
import type { KvElement, KvValues } from './values.ts'

/** For each block that the last call filled, the states after it. */
export type BlockStates = Map<number, Float32Array>

export class RowContents {
  readonly arrays: RowArrays
  readonly #states: RowStates
  readonly #shape: KvShape

  constructor(shape: KvShape, element: KvElement, capacity: number) {
    this.#shape = shape
    this.arrays = new RowArrays(shape, element, capacity)
    this.#states = new RowStates(shape.states)
  }

  get hasStates(): boolean {
    return this.#states.length > 0
  }
  get sizeBytes(): number {
    return this.arrays.sizeBytes + this.#states.sizeBytes
  }

  /** Allocates at least this many rows, in powers of two. */
  allocate(rows: number): void {
    this.arrays.allocate(rows)
    this.#states.allocate(2 ** Math.ceil(Math.log2(rows)))
  }

  feeds(from: number, count: number): ReadonlyMap<string, Tensor> {
    const slots = this.arrays.feeds(from, count)
    return this.hasStates ? new Map([...slots, ...this.#states.feeds(from, count)]) : slots
  }

  /** Takes tokens of a call's outputs. */
  append(outputs: ReadonlyMap<string, Tensor>, places: readonly EntryPlace[]): void {
    this.arrays.append(outputs, places)
    this.#states.append(outputs, places)
  }

  /**
   * The states after each block that these tokens will fill; called before `append`. A single token
   * fills no block that is shared.
   */
  collectBlockStates(
    outputs: ReadonlyMap<string, Tensor>,
    { entry, row, position, count }: EntryPlace,
    into: BlockStates,
  ): void {
    into.clear()
    if (!this.hasStates || !this.#states.areKnownBetween || count === 1) return
    const first = Math.floor(position / BLOCK_SIZE)
    for (let block = first; (block + 1) * BLOCK_SIZE <= position + count; block++) {
      const states = new Float32Array(this.#states.length)
      const behind = { entry, row, count: (block + 1) * BLOCK_SIZE - position }
      this.#states.readBehind(outputs, behind, states)
      into.set(block, states)
    }
  }

  /** Puts a row into the state before the first token. */
  reset(row: number): void {
    this.#states.reset(row)
  }

  /** Copies a row of these or other contents, `length` positions. */
  copyRowFrom(source: RowContents, from: number, to: number, length: number): void {
    this.arrays.copyRowFrom(source.arrays, from, to, length)
    this.#states.copyRowFrom(source.#states, from, to)
  }

  /** Exchanges two rows of at most `length` positions. */
  swapRows(one: number, two: number, length: number): void {
    this.arrays.swapRows(one, two, length)
    this.#states.swapRows(one, two)
  }

  /** Copies block `at` out of a row, with the states after it. */
  readBlock(row: number, at: number, block: KvValues, states: Float32Array | undefined): void {
    this.arrays.readBlock(row, at * BLOCK_SIZE, block)
    if (states) viewBlockStates(this.#shape, block).set(states)
  }

  /** Copies block `at` into a row; the row's states are those after the block. */
  writeBlock(row: number, at: number, block: KvValues): void {
    this.arrays.writeBlock(row, at * BLOCK_SIZE, block)
    if (this.hasStates) this.#states.write(row, viewBlockStates(this.#shape, block))
  }

  /** Whether a row has finite numbers at these positions and as its states. */
  isFinite(row: number, position: number, count: number): boolean {
    return this.arrays.isFinite(row, position, count) && this.#states.isFinite(row)
  }
}
