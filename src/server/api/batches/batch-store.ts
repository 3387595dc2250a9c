// Stores batches with a copy of their input and the results so far, so that a restarted server
// continues them. Independent of the place.

import type { RequestBatch } from './batch.ts'

/** Calls reject with StorageError where the store fails. */
export interface BatchStore {
  /** In the order in which they were made. */
  list(): Promise<readonly RequestBatch[]>
  /** undefined for an id that is unknown or no id. */
  find(id: string): Promise<RequestBatch | undefined>
  /** Stores a batch, or its new state, atomically. */
  put(batch: RequestBatch): Promise<void>
  /** Stores the requests of a batch. */
  writeInput(id: string, content: AsyncIterable<Uint8Array>): Promise<void>
  readInput(id: string): AsyncIterable<Uint8Array>
  /** Appends lines to the results; they survive a crash. */
  addResults(id: string, lines: readonly string[]): Promise<void>
  /** The complete lines so far; a line that a crash cut off is removed. */
  readResults(id: string): Promise<readonly string[]>
  /** Removes the input and the results, when the batch has ended and its files are written. */
  clear(id: string): Promise<void>
}
