// The port to files of packed weights: a runtime that reads files is given the file and offset of
// each weight, the same for every program of a model. Independent of where the files are.

import type { FileTensor, Tensor } from '../base/tensor.ts'
import type { PackRoom } from './pack.ts'

/** What is packed at once: one weight, or several that share a product. */
export interface PackedPart {
  /** In the order in which they are written. */
  readonly tensors: readonly NamedTensor[]
  /**
   * Packs the part, into `room` if one is given: earlier results in it are overwritten once reading
   * has ended. Called only if the file does not exist yet.
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
   * Whether programs share one copy of the weights in memory. Sharing adds some microseconds
   * between two products, which is too much for a small model, whose copies are small anyway.
   */
  readonly isShared: boolean
  /**
   * The tensors of all parts by name, in one file. A file that does not exist yet is written part
   * by part, while two more parts are read. Undefined if no file can be written: no permission, no
   * space.
   */
  keep(parts: readonly PackedPart[]): Promise<ReadonlyMap<string, FileTensor> | undefined>
  /** Ends pending writes; the tensors cannot be opened afterwards. */
  close(): Promise<void>
}
