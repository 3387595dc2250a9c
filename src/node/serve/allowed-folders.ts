// The folders from which requests may load experts: links in a path are resolved, and the result
// and every file that would be read must be below one of them. Opens no files.

import { readdir, realpath } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { NotFoundError } from '../../base/errors.ts'
import { checkExpertPath, createPathRefusal } from '../../server/experts-allowed/check-path.ts'
import type { ExpertPlaces } from '../../server/experts-allowed/keep-experts.ts'
import { RequestError } from '../../server/request-error.ts'
import { findErrorCode } from '../files/system-errors.ts'

/** Throws NotFoundError for a folder that is not there. */
export async function createAllowedFolders(folders: readonly string[]): Promise<ExpertPlaces> {
  const roots = await Promise.all(
    folders.map(async (folder) => {
      try {
        return { given: folder, real: await realpath(folder) }
      } catch (cause) {
        throw new NotFoundError(`--adapter-folder ${folder}: there is no such folder.`, { cause })
      }
    }),
  )
  return {
    resolve: async (path) => {
      checkExpertPath(path)
      for (const { given, real } of roots) {
        const place = await resolvePlace(path, given, real)
        if (place !== undefined) return place
      }
      throw isAbsolute(path) && !roots.some(({ given, real }) => isBelow(path, given, real))
        ? createPathRefusal('is outside of them')
        : new RequestError(`There is no expert at ${JSON.stringify(path)}.`, {
            status: 404,
            param: 'path',
            code: 'path_not_found',
          })
    },
  }
}

const isInside = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`)

/** Whether an absolute path is written as one below the folder, by either of its names. */
const isBelow = (path: string, given: string, real: string): boolean =>
  isInside(path, real) || isInside(path, given)

/**
 * The resolved path below a folder; undefined if it does not exist. An absolute path must be
 * written below the folder, so that clients cannot find out what exists elsewhere.
 */
async function resolvePlace(
  path: string,
  given: string,
  root: string,
): Promise<string | undefined> {
  if (isAbsolute(path) && !isBelow(path, given, root)) return undefined
  const place = await resolveLinks(isAbsolute(path) ? path : join(root, path))
  if (place === undefined) return undefined
  if (!isInside(place, root)) throw createPathRefusal('is a link out of them')
  if (place === root) throw createPathRefusal('is the allowed folder itself')
  await checkEntries(place, root)
  return place
}

/** undefined if there is nothing. */
async function resolveLinks(path: string): Promise<string | undefined> {
  try {
    return await realpath(path)
  } catch (error) {
    const code = findErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined
    throw createPathRefusal(code === 'ELOOP' ? 'is a link that leads to itself' : 'cannot be read')
  }
}

/** Refuses a folder in which a link leads out of the allowed one. */
async function checkEntries(folder: string, root: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (findErrorCode(error) === 'ENOTDIR') return [] // a file, as GGUF adapters are
    throw createPathRefusal('cannot be read')
  })
  for (const entry of entries) {
    if (!entry.isSymbolicLink()) continue
    const place = await resolveLinks(join(folder, entry.name))
    if (place !== undefined && !isInside(place, root))
      throw createPathRefusal(`contains a link out of them, ${JSON.stringify(entry.name)}`)
  }
}
