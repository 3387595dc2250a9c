// Appends rows to a JSONL file, each with one write, so that a process that ends leaves whole lines.

import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory } from '../files/make-directory.ts'
import { toStorageError } from '../files/system-errors.ts'

export interface RowWriter {
  /** Resolves when the row is in the file. Throws StorageError. */
  write(row: object): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the file for appending; first ends a last line that was cut off. Only its owner can read
 * the file.
 */
export async function openRowWriter(path: string): Promise<RowWriter> {
  let file: FileHandle
  try {
    await makeDirectory(dirname(path))
    file = await open(path, 'a+', 0o600)
    const { size } = await file.stat()
    const last = Buffer.alloc(1)
    if (size > 0) await file.read(last, 0, 1, size - 1)
    if (size > 0 && last.toString() !== '\n') await file.appendFile('\n')
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
  let queue: Promise<unknown> = Promise.resolve()
  return {
    write(row) {
      const work = queue.then(async () => {
        const { size } = await file.stat()
        try {
          await file.appendFile(`${JSON.stringify(row)}\n`)
        } catch (cause) {
          await file.truncate(size).catch(() => undefined) // the part that still fitted
          throw toStorageError(`${path}: cannot be written`, cause)
        }
      })
      queue = work.catch(() => undefined)
      return work
    },
    async close() {
      await queue
      await file.sync().catch(() => undefined)
      await file.close()
    },
  }
}
