// Adds the experts of an archive to a registry: all of them, or none.

import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, OptionError, SignatureError } from '../../../base/errors.ts'
import { checkOptions, integer, listOf, string, unchecked } from '../../../base/schema.ts'
import type { AddOptions, RegisteredExpert, Registry } from '../../../registry/registry.ts'
import { computeExpertHash } from '../../expert/content-hash.ts'
import { toStorageError } from '../../files/system-errors.ts'
import { createReceivedPath } from '../content-folder.ts'
import { verifyFolder } from '../sign-folder.ts'
import { archiveIndexFile, type ArchivedExpert, readArchiveIndex } from './archive-index.ts'
import { unpackArchive } from './unpack-archive.ts'

export interface ImportOptions {
  /** The name, if the archive contains one expert. */
  readonly id?: string | undefined
  readonly version?: string | undefined
  readonly channels?: readonly string[] | undefined
  /** Files of public keys: its signature must be by one of them. */
  readonly keys?: readonly string[] | undefined
  /** Most unpacked bytes. Default 4 GiB. */
  readonly maxBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const importFields = {
  id: string({ filled: true }),
  version: string({ filled: true }),
  channels: listOf(string({ filled: true })),
  keys: listOf(string({ filled: true }), { least: 1 }),
  maxBytes: integer({ from: 1, default: 4 * 2 ** 30 }),
  signal: unchecked<AbortSignal>('an AbortSignal'),
}

/** Throws what unpacking, verifying and adding throw; then the registry is as it was. */
export async function importArchive(
  registry: Registry,
  file: string,
  options: ImportOptions = {},
): Promise<readonly RegisteredExpert[]> {
  checkOptions('Options of import', options, importFields)
  const { id, version, channels, keys, maxBytes = importFields.maxBytes.default, signal } = options
  const place = createReceivedPath(registry.location)
  try {
    await mkdir(place).catch((cause: unknown) => {
      throw toStorageError(`${place}: cannot be created`, cause)
    })
    await unpackArchive(file, place, { maxBytes, signal })
    const found = await findExperts(place, file)
    if (found.length > 1 && (id !== undefined || version !== undefined))
      throw new OptionError(`${file}: holds ${found.length} experts, which keep their names.`)
    for (const { folder, hash } of found) {
      const path = join(place, folder)
      if (hash !== undefined) await verifyHash(path, hash, `${file}: ${folder}`)
      if (keys) await verifyFolder(path, keys)
    }
    const named = found.map(({ folder, tags = [], manifest }) => ({
      folder: join(place, folder),
      tags,
      options: {
        id: id ?? manifest?.id,
        version: version ?? manifest?.version,
        manifest: manifest && Object.assign({}, manifest, id && { id }, version && { version }),
        channels,
      },
    }))
    return await addAll(registry, named)
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

type FoundExpert = Pick<ArchivedExpert, 'folder'> & Partial<ArchivedExpert>

/** By the archive's index, else every folder with an adapter. */
async function findExperts(place: string, file: string): Promise<readonly FoundExpert[]> {
  const index = await readFile(join(place, archiveIndexFile)).catch(() => undefined)
  if (index) return readArchiveIndex(index, `${file}: ${archiveIndexFile}`)
  const folders = ['.', ...(await readdir(place))]
  const found: FoundExpert[] = []
  for (const folder of folders)
    if (await stat(join(place, folder, 'adapter_config.json')).catch(() => undefined))
      found.push({ folder })
  if (found.length === 0)
    throw new FormatError(
      `${file}: contains no expert: there is no adapter_config.json at its top or in a folder there.`,
    )
  return found
}

async function verifyHash(path: string, hash: string, name: string): Promise<void> {
  const got = await computeExpertHash(path)
  if (got !== hash)
    throw new SignatureError(
      `${name}: its files have the hash sha256:${got}, and ${archiveIndexFile} says sha256:${hash}: they were changed.`,
    )
}

interface NamedFolder {
  readonly folder: string
  readonly tags: readonly string[]
  readonly options: AddOptions
}

/** If one cannot be added, those that were added before it are removed again. */
async function addAll(
  registry: Registry,
  folders: readonly NamedFolder[],
): Promise<readonly RegisteredExpert[]> {
  const begun = new Date().toISOString()
  const added: RegisteredExpert[] = []
  try {
    for (const { folder, tags, options } of folders) {
      const expert = await registry.add(folder, options)
      added.push(expert)
      const missing = tags.filter((tag) => !expert.tags.includes(tag))
      if (missing.length === 0) continue
      const reference = `${expert.id}@${expert.version}`
      added[added.length - 1] = await registry.tag(reference, { add: missing })
    }
  } catch (error) {
    // earlier versions are kept
    for (const { id, version, addedAt } of added)
      if (addedAt >= begun) await registry.remove(`${id}@${version}`)
    throw error
  }
  return added
}
