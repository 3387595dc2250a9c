// Files that a page has (dropped, chosen, made) as byte sources and folders.

import { FormatError } from '../../base/errors.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import { toBrowserStorageError } from '../stores/storage-errors.ts'

/** The bytes of a Blob or File, read piece by piece: a file of the disk stays there. */
export function createBlobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    sizeBytes: blob.size,
    async read(offset, length) {
      checkReach(name, blob.size, offset, length)
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
      } catch (cause) {
        throw toBrowserStorageError(`${name}: cannot be read`, cause)
      }
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

/** The path of a file within the folder that was chosen or dropped with it. */
function toInnerPath({ name, webkitRelativePath }: File): string {
  const [, ...inner] = (webkitRelativePath ?? '').split('/')
  return inner.length > 0 ? inner.join('/') : name
}

/** Files that were chosen or dropped together, as the folder that they were in. */
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
