// Git LFS pointers: small text files in place of large files whose content was not fetched.

import { FormatError } from '../base/errors.ts'
import type { ByteSource } from './byte-source.ts'

const firstLine = 'version https://git-lfs.github.com/spec/'
const largestPointerBytes = 1024 // git-lfs's own limit

/** Throws FormatError for a Git LFS pointer; reads only files that are small enough to be one. */
export async function refuseLfsPointer({ name, sizeBytes, read }: ByteSource): Promise<void> {
  if (sizeBytes < firstLine.length || sizeBytes > largestPointerBytes) return
  const start = new TextDecoder().decode(await read(0, firstLine.length))
  if (start === firstLine)
    throw new FormatError(
      `${name}: is a Git LFS pointer, not the file itself. Run "git lfs pull" in that folder.`,
    )
}
