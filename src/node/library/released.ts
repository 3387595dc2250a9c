// The experts that come with the package: found by name, and verified by the key in their folder.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NotFoundError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { manifestFile } from '../../registry/manifest/expert-manifest.ts'
import { isExpertName } from '../../registry/manifest/manifest-fields.ts'
import { findRegistered } from '../registry/find-registered.ts'

/** experts/ of the package or the checkout. */
export const releasedDirectory = fileURLToPath(new URL('../../../experts', import.meta.url))

/** The public key that the released experts are signed by. */
export const releasedKeyFile = join(releasedDirectory, 'library.pub.pem')

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** The folder of a released expert; undefined for any other name. */
export async function findReleased(
  name: string,
  directory: string = releasedDirectory,
): Promise<string | undefined> {
  if (!isExpertName(name)) return undefined
  const folder = join(directory, name)
  return (await isThere(join(folder, manifestFile))) ? folder : undefined
}

/** Names of the released experts, in order. */
export async function listReleased(directory: string = releasedDirectory): Promise<string[]> {
  const entries = await readdir(directory).catch(() => [])
  const found: string[] = []
  for (const name of entries.toSorted()) if (await findReleased(name, directory)) found.push(name)
  return found
}

/**
 * The folder of an expert by name: one of a registry (default: this user's; null: none), else a
 * released one. undefined for an existing path and for any other text.
 */
export async function findNamedExpert(
  text: string,
  registry?: string | null,
): Promise<string | undefined> {
  const registered = registry === null ? undefined : await findRegistered(text, registry)
  if (registered !== undefined || (await isThere(text))) return registered
  return findReleased(text)
}

/** Folders of adapters in a directory. */
async function listFolders(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const areAdapters = await Promise.all(
    folders.map((name) => isThere(join(directory, name, 'adapter_config.json'))),
  )
  return folders.filter((_, i) => areAdapters[i])
}

/**
 * The text as a path. Throws NotFoundError for a plain name that is unknown: no file or folder
 * here, no expert of a registry, none of the released ones.
 */
export async function requireExpertPath(text: string, directory = '.'): Promise<string> {
  if (!isExpertName(text) || (await isThere(text))) return text
  const names = await listReleased()
  const here = await listFolders(directory)
  const meant = findNearestName(text, here) ?? findNearestName(text, names)
  throw new NotFoundError(
    `There is no expert "${text}": no file or folder of that name is here, the registry has none, and the released experts are ${names.join(', ')}.${meant ? ` Did you mean ${meant}?` : ''}`,
  )
}
