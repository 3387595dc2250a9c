// The contract through which everything downstream reads weights. Independent of the file format.

import { NotFoundError } from '../base/errors.ts'
import type { DType } from '../base/dtype.ts'
import type { Tensor } from '../base/tensor.ts'
import type { TakeMemory } from './byte-source.ts'
import { quoteName } from './quote.ts'

export interface TensorInfo {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly sizeBytes: number
}

/** Named tensors that are read one at a time; nothing is loaded before `read`. */
export interface TensorStore {
  /** Shown in errors: the file's or folder's name. */
  readonly name: string
  /** By Hugging Face name, in the file's order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: Readonly<Record<string, unknown>>
  /**
   * Reads only that tensor's bytes; block formats come as raw blocks. Throws NotFoundError for an
   * unknown name. The bytes may be in what `take` gives.
   */
  read(name: string, take?: TakeMemory): Promise<Tensor>
  close(): Promise<void>
}

/** The entry of a name; throws NotFoundError that names the store. */
export function getEntry<Entry>(
  entries: ReadonlyMap<string, Entry>,
  name: string,
  storeName: string,
): Entry {
  const entry = entries.get(name)
  if (entry === undefined)
    throw new NotFoundError(
      `${storeName}: contains no tensor ${quoteName(name)} (it holds ${entries.size} others).`,
    )
  return entry
}
