// A file as a byte source: positional reads, nothing cached, nothing mapped.

import { type FileHandle, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import type { ByteSource } from '../../formats/byte-source.ts'
import { refuseLfsPointer } from '../../formats/lfs-pointer.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

const largestRead = 0x7fff0000 // Linux moves at most 2,147,479,552 bytes in one read

/**
 * Closes files whose source was garbage collected: users need not dispose of a model. The registry
 * keeps the handle, so that Node does not collect it first, which is a warning today and will be an
 * error (DEP0137).
 */
const garbage = new FinalizationRegistry<FileHandle>((handle) => void handle.close())

/**
 * Opens a file for reading. `close` frees its descriptor; a source that is never closed frees it
 * when it is garbage collected. Throws NotFoundError if there is no such file, StorageError if it
 * cannot be opened, FormatError for a Git LFS pointer.
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${path}: there is no such file.`, { cause })
    throw toStorageError(`${path}: cannot open the file`, cause)
  })
  const stat = await handle.stat()
  if (!stat.isFile()) {
    await handle.close()
    throw new NotFoundError(
      `${path}: got a ${stat.isDirectory() ? 'directory' : 'special file'}, expected a file.`,
    )
  }
  const sizeBytes = stat.size
  // `read` and `close` share this object, so it lives as long as either, and while a read is
  // pending.
  const file = { handle }
  garbage.register(file, handle, file)
  const source: ByteSource = {
    name: path,
    sizeBytes,
    openBeside: (fileName) => openIfPresent(join(dirname(path), fileName)),
    close: () => {
      garbage.unregister(file)
      return file.handle.close()
    },
    read: async (offset, length, take) => {
      if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
        throw new FormatError(
          `${path}: cannot read ${length} bytes at offset ${offset}: the file has ${sizeBytes} bytes.`,
        )
      }
      // A separate buffer, never a slice of Node's pool, so that views on it are aligned.
      const bytes = take?.(length) ?? new Uint8Array(length)
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.handle.read(
          bytes,
          done,
          Math.min(length - done, largestRead),
          offset + done,
        )
        if (bytesRead === 0)
          throw new FormatError(
            `${path}: the file became shorter while it was read (at byte ${offset + done} of ${sizeBytes}).`,
          )
        done += bytesRead
      }
      return bytes
    },
  }
  try {
    await refuseLfsPointer(source)
  } catch (error) {
    await source.close?.()
    throw error
  }
  return source
}

async function openIfPresent(path: string): Promise<ByteSource | undefined> {
  try {
    return await openFileSource(path)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
