// An expert's folder by its name in this user's registry, for callers that take a path or a name.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { NotFoundError } from '../../base/errors.ts'
import { isReference } from '../../registry/reference.ts'
import { openRegistry } from './open-registry.ts'
import { getRegistryDirectory } from './registry-directory.ts'

/**
 * The folder of `coder`, `coder@^1.2` or `coder@stable`; undefined for an existing path, for a
 * string that is no such name, and for a name without "@" that is not registered. Throws
 * NotFoundError for a version that the registry does not have, SignatureError for one whose files
 * were changed.
 */
export async function findRegistered(
  text: string,
  directory: string = getRegistryDirectory(),
): Promise<string | undefined> {
  const isThere = async (path: string) => (await stat(path).catch(() => undefined)) !== undefined
  if ((await isThere(text)) || !isReference(text)) return undefined
  if (!(await isThere(join(directory, 'index.db')))) return undefined
  const registry = await openRegistry(directory)
  try {
    const { location, id, version } = await registry.resolve(text)
    await registry.verify(`${id}@${version}`)
    return location
  } catch (error) {
    if (error instanceof NotFoundError && !text.includes('@')) return undefined
    throw error
  } finally {
    await registry.close()
  }
}
