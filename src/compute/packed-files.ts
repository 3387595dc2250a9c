// The port to files of packed weights: a runtime that reads files gets a weight by its place, and
// every program of a model the same one. Independent of where the files are.

import type { FileTensor, Tensor } from '../base/tensor.ts'
import type { PackRoom } from './pack.ts'

/** What is packed at once: one weight, or several that share a product. */
export interface PackedPart {
  /** In the order in which they are written. */
  readonly tensors: readonly NamedTensor[]
  /**
   * Packs it, where a room is given into that: what was made there before is overwritten once
   * reading has ended. Called only where the file is not there yet.
   */
  make(room?: PackRoom): Promise<ReadonlyMap<string, Tensor>>
}

export interface NamedTensor {
  readonly name: string
  readonly dtype: FileTensor['dtype']
  readonly shape: readonly number[]
}

export interface PackedFiles {
  /**
   * Whether programs share one copy of the weights in memory. What runs between two products costs
   * some microseconds more then: too much for a small model, whose copies are small.
   */
  readonly isShared: boolean
  /**
   * The tensors of all parts by name, in one file. A file that is not there yet is written part by
   * part, with two more on their way. Undefined if no file can be written: no permission, no room.
   */
  keep(parts: readonly PackedPart[]): Promise<ReadonlyMap<string, FileTensor> | undefined>
  /** Ends pending writes; the tensors cannot be opened afterwards. */
  close(): Promise<void>
}
