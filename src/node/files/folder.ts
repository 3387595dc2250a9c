// A directory as a folder of byte sources. Refuses to look outside of it.

import { stat } from 'node:fs/promises'
import { isAbsolute, join, normalize, sep } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { openFileSource } from './file-source.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

/** The folder of a directory. Throws NotFoundError if there is no such directory. */
export async function openDirectory(path: string): Promise<ByteFolder> {
  const found = await stat(path).catch((cause: unknown) => ignoreMissing(path, cause))
  if (!found?.isDirectory()) throw new NotFoundError(`${path}: there is no such directory.`)
  return {
    name: path,
    open: async (name) => {
      const file = join(path, resolveInside(path, name))
      const exists = await stat(file).catch((cause: unknown) => ignoreMissing(file, cause))
      return exists ? openFileSource(file) : undefined
    },
  }
}

/**
 * A relative path that stays below `folder`, because file names come from files, such as the index
 * of a sharded model.
 */
export function resolveInside(folder: string, name: string): string {
  const path = normalize(name)
  if (isAbsolute(path) || path === '..' || path.startsWith(`..${sep}`)) {
    throw new FormatError(
      `${folder}: the file name ${JSON.stringify(name)} leads out of the folder.`,
    )
  }
  return path
}

function ignoreMissing(path: string, cause: unknown): undefined {
  const code = findErrorCode(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw toStorageError(`${path}: cannot be read`, cause)
}
