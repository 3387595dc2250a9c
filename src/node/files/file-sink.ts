// Writes files atomically: each appears complete or not at all, through a temporary name, fsync,
// rename.

import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { ByteSink } from '../../formats/byte-source.ts'
import { removeAbandoned, syncDirectory } from './atomic-write.ts'
import { resolveInside } from './folder.ts'
import { makeDirectory } from './make-directory.ts'
import { toStorageError } from './system-errors.ts'

/** What the sink needs of a file system; tests pass one that fails. */
export interface SinkFile {
  write(bytes: Uint8Array, offset: number, length: number): Promise<{ bytesWritten: number }>
  sync(): Promise<void>
  close(): Promise<void>
}
export type OpenForWriting = (path: string) => Promise<SinkFile>

const openFile: OpenForWriting = (path) => open(path, 'w')
let written = 0 // makes temporary names unique within the process

/**
 * A sink into a directory, which is created with the first file. Throws StorageError with the cause
 * ("disk full", no permission); then the temporary file is removed and an existing file of that
 * name is unchanged. The next write removes leftovers of ended processes.
 */
export function createFileSink(
  directory: string,
  openForWriting: OpenForWriting = openFile,
): ByteSink {
  return {
    name: directory,
    write: async (name, chunks) => {
      const path = join(directory, resolveInside(directory, name))
      const temporary = `${path}.${process.pid}.${++written}.tmp`
      try {
        await wrapStorageErrors(path, () => makeDirectory(dirname(path)))
        const file = await wrapStorageErrors(path, () => openForWriting(temporary))
        await writeAll(path, file, chunks)
        await wrapStorageErrors(path, () => rename(temporary, path))
      } catch (error) {
        // must not hide why the write failed
        await rm(temporary, { force: true }).catch(() => undefined)
        throw error
      }
      await syncDirectory(dirname(path))
      await removeAbandoned(dirname(path), basename(path))
    },
  }
}

/** Writes, syncs and closes. Errors of the chunks' producer pass through unchanged. */
async function writeAll(
  path: string,
  file: SinkFile,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of chunks) {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await wrapStorageErrors(path, () =>
          file.write(chunk, done, chunk.length - done),
        )
        done += bytesWritten
      }
    }
    await wrapStorageErrors(path, () => file.sync())
  } finally {
    await file.close()
  }
}

async function wrapStorageErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
}
