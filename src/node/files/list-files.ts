// The regular files of a folder, for hashes and signatures. Links are refused: their targets can be
// exchanged without changing the folder.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import type { ListedFile } from '../../registry/signing/resources.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

/** Throws FormatError for links and devices, NotFoundError if there is no such folder. */
export async function listFiles(folder: string): Promise<ListedFile[]> {
  const files: ListedFile[] = []
  for (const entry of await readFolder(folder)) {
    if (entry.isDirectory()) continue
    const full = join(entry.parentPath, entry.name)
    const path = full.slice(folder.length + (folder.endsWith(sep) ? 0 : 1)).replaceAll(sep, '/')
    if (!entry.isFile()) {
      const what = entry.isSymbolicLink() ? 'a symbolic link' : 'no regular file'
      throw new FormatError(
        `${folder}: ${quoteName(path)} is ${what}; expected regular files only.`,
      )
    }
    const { size } = await stat(full)
    files.push({ path, sizeBytes: size, hash: () => hashFile(full) })
  }
  return files
}

async function readFolder(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true, recursive: true })
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${folder}: there is no such folder.`, { cause })
    throw toStorageError(`${folder}: cannot be listed`, cause)
  }
}

/** SHA-256 of a file, read piece by piece. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
      hash.update(chunk as Buffer)
  } catch (cause) {
    throw toStorageError(`${path}: cannot be read`, cause)
  }
  return hash.digest('hex')
}
