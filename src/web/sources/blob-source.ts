// Files of a page (dropped, chosen, created) as byte sources and folders.

import { FormatError } from '../../base/errors.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import { toBrowserStorageError } from '../stores/storage-errors.ts'

/**
 * Every read from disk costs some milliseconds, and the matrices of a layer are requested one by
 * one. So a larger window is read at once and kept for the next requests.
 */
const windowBytes = 4 << 20
const mostWindows = 3
/** Shorter parts are copied, because a view of one byte keeps its whole window in memory. */
const leastViewBytes = 64 << 10

/** The bytes of a Blob or File, read piece by piece, so that a file stays on disk. */
export function createBlobSource(name: string, blob: Blob): ByteSource {
  const readBlob = async (start: number, end: number): Promise<Uint8Array> => {
    try {
      return new Uint8Array(await blob.slice(start, end).arrayBuffer())
    } catch (cause) {
      throw toBrowserStorageError(`${name}: cannot be read`, cause)
    }
  }
  /** By number, the most recently used last. */
  const windows = new Map<number, Promise<Uint8Array>>()
  const readWindow = (index: number): Promise<Uint8Array> => {
    const start = index * windowBytes
    const made = windows.get(index) ?? readBlob(start, Math.min(start + windowBytes, blob.size))
    windows.delete(index)
    windows.set(index, made)
    made.catch(() => windows.delete(index))
    for (const old of [...windows.keys()].slice(0, -mostWindows)) windows.delete(old)
    return made
  }
  return {
    name,
    sizeBytes: blob.size,
    async read(offset, length) {
      checkReach(name, blob.size, offset, length)
      const first = Math.floor(offset / windowBytes)
      const last = Math.floor((offset + length - 1) / windowBytes)
      if (length === 0 || last - first >= mostWindows) return readBlob(offset, offset + length)
      if (first === last && length >= leastViewBytes) {
        const start = offset - first * windowBytes
        return (await readWindow(first)).subarray(start, start + length)
      }
      const result = new Uint8Array(length)
      for (let index = first; index <= last; index++) {
        const start = index * windowBytes
        const part = (await readWindow(index)).subarray(
          Math.max(0, offset - start),
          offset + length - start,
        )
        result.set(part, Math.max(0, start - offset))
      }
      return result
    },
  }
}

/** Throws FormatError if a read reaches beyond the end. */
export function checkReach(name: string, sizeBytes: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= sizeBytes) return
  throw new FormatError(
    `${name}: cannot read ${length} bytes at offset ${offset}: it has ${sizeBytes} bytes.`,
  )
}

/** The path of a file inside the chosen or dropped folder. */
function toInnerPath({ name, webkitRelativePath }: File): string {
  const [, ...inner] = (webkitRelativePath ?? '').split('/')
  return inner.length > 0 ? inner.join('/') : name
}

/** Files that were chosen or dropped together, as one folder. */
export function createFilesFolder(files: readonly File[]): ByteFolder {
  const byPath = new Map(files.map((file) => [toInnerPath(file), file]))
  const folder = files[0]?.webkitRelativePath?.split('/')[0]
  const name = folder === undefined || folder === '' ? 'the files' : folder
  return {
    name,
    async open(path) {
      const file = byPath.get(path)
      return file && createBlobSource(`${name}/${path}`, file)
    },
  }
}
