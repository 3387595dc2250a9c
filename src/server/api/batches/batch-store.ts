// Where batches are kept, with a copy of their input and the results so far, so that a server that is
// started again goes on. Independent of the place.

import type { RequestBatch } from './batch.ts'

/** Calls reject with StorageError where the store fails. */
export interface BatchStore {
  /** In the order in which they were made. */
  list(): Promise<readonly RequestBatch[]>
  /** undefined for an id that is unknown or no id. */
  find(id: string): Promise<RequestBatch | undefined>
  /** Keeps a batch, or what has become of it; it is whole at any moment. */
  put(batch: RequestBatch): Promise<void>
  /** Keeps the requests of a batch. */
  writeInput(id: string, content: AsyncIterable<Uint8Array>): Promise<void>
  readInput(id: string): AsyncIterable<Uint8Array>
  /** Adds lines to the results; they are still there after a crash. */
  addResults(id: string, lines: readonly string[]): Promise<void>
  /** The whole lines so far; a line that a crash cut is removed. */
  readResults(id: string): Promise<readonly string[]>
  /** Removes the input and the results: the batch has ended, and its files are made. */
  clear(id: string): Promise<void>
}
