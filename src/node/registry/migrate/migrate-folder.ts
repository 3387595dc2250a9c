// Migrates older experts: a folder with graft.json, or from PEFT or the hub, gets an expert.json.
// The old description is kept in it, so that the migration can be undone.

import { createHash } from 'node:crypto'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadAdapter } from '../../../adapters/files/peft.ts'
import { ConflictError, GraftError, NotFoundError, OptionError } from '../../../base/errors.ts'
import { isRecord } from '../../../base/schema.ts'
import {
  type ExpertManifest,
  formatExpertManifest,
  manifestFile,
} from '../../../registry/manifest/expert-manifest.ts'
import { signatureFile } from '../../../registry/signing/resources.ts'
import { createManifest, toExpertName } from '../../expert/create-manifest.ts'
import { olderFile, readOlderFile } from '../../expert/expert-notes.ts'
import { readManifestFile, writeManifestFile } from '../../expert/manifest-file.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { openDirectory } from '../../files/folder.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'
import { readFolderCard } from '../folder-manifest.ts'

export interface MigrationChoice {
  /** The name, if one folder is migrated. Default: the adapter's, else the folder's. */
  readonly id?: string | undefined
  readonly version?: string | undefined
  /** As ISO 8601. */
  readonly now: string
}

/** What migrating a folder would write, or why it cannot be done. */
export interface Migration {
  readonly folder: string
  /** The current description of the expert. */
  readonly from: 'expert.json' | 'graft.json' | 'PEFT'
  /** Undefined if nothing is to be done, or cannot be. */
  readonly manifest?: ExpertManifest
  readonly error?: GraftError
}

/** In `custom` of the manifest that a migration wrote. */
interface MigrationRecord {
  readonly from: Migration['from']
  /** The text of graft.json. */
  readonly older?: string
  /** Of the manifest without this record. */
  readonly sha256: string
}

const recordKey = 'migration'

/**
 * The folder itself if it is an expert's, else the experts' folders in it. Throws NotFoundError.
 */
export async function findExpertFolders(folder: string): Promise<string[]> {
  if (await isExpertFolder(folder)) return [folder]
  const names = await readdir(folder).catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${folder}: there is no such folder.`, { cause })
    throw toStorageError(`${folder}: cannot be listed`, cause)
  })
  const found: string[] = []
  for (const name of names.toSorted())
    if (await isExpertFolder(join(folder, name))) found.push(join(folder, name))
  if (found.length === 0)
    throw new NotFoundError(`${folder}: is not the folder of an expert, and there is none in it.`)
  return found
}

async function isExpertFolder(folder: string): Promise<boolean> {
  for (const name of ['adapter_config.json', manifestFile, olderFile])
    if (await stat(join(folder, name)).catch(() => undefined)) return true
  return false
}

/** Examines a folder and writes nothing. Problems are in the result. */
export async function planMigration(folder: string, choice: MigrationChoice): Promise<Migration> {
  let from: Migration['from'] = 'expert.json'
  try {
    if (await readManifestFile(folder)) return { folder, from }
    from = 'PEFT'
    const notes = await readOlderFile(await openDirectory(folder))
    if (notes) from = 'graft.json'
    await refuseSigned(folder)
    const adapter = await loadAdapter(await openDirectory(folder), { packed: true })
    const card = await readFolderCard(folder)
    const { id, now, version } = choice
    const name = notes?.expert?.name ?? adapter.metadata?.['name'] ?? folder
    const naming = { id: id ?? toExpertName(name), version, folder, now }
    return { folder, from, manifest: createManifest(adapter, notes, naming, { card }) }
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return { folder, from, error }
  }
}

async function refuseSigned(folder: string): Promise<void> {
  if (await stat(join(folder, signatureFile)).catch(() => undefined))
    throw new OptionError(
      `${folder}: is signed, and ${manifestFile} would be a file that nobody signed. Verify it, remove ${signatureFile}, migrate, and sign it again.`,
    )
}

/** Writes what was planned. A process that is killed leaves the old state or the new one. */
export async function applyMigration({ folder, from, manifest }: Migration): Promise<void> {
  if (!manifest) return finishMigration(folder)
  const older = await readText(join(folder, olderFile))
  const record: MigrationRecord = {
    from,
    ...(older !== undefined && { older }),
    sha256: hashManifest(manifest),
  }
  const custom = Object.assign({}, manifest.custom, { [recordKey]: record })
  await writeManifestFile(Object.assign({}, manifest, { custom }), createFileSink(folder))
  await finishMigration(folder)
}

/** Removes a graft.json whose text is in expert.json. */
async function finishMigration(folder: string): Promise<void> {
  const manifest = await readManifestFile(folder)
  const older = manifest && findRecord(manifest)?.older
  if (older !== undefined && older === (await readText(join(folder, olderFile))))
    await rm(join(folder, olderFile))
}

/** What undoing would restore: the old file or none; undefined if the folder was not migrated. */
export async function planUndo(folder: string): Promise<Migration['from'] | undefined> {
  const manifest = await readManifestFile(folder)
  const record = manifest && findRecord(manifest)
  if (!record) return undefined
  await refuseSigned(folder)
  const { [recordKey]: _record, ...custom } = manifest.custom ?? {}
  const { custom: _custom, ...rest } = manifest
  const before = Object.keys(custom).length > 0 ? Object.assign(rest, { custom }) : rest
  if (hashManifest(before as ExpertManifest) !== record.sha256)
    throw new ConflictError(
      `${folder}: ${manifestFile} was changed after it was migrated, and undoing would lose that. Keep a copy of it elsewhere and remove it, or leave it.`,
    )
  return record.from
}

/**
 * Restores a folder to its state before the migration. Throws ConflictError if it was changed
 * since.
 */
export async function undoMigration(folder: string): Promise<Migration['from'] | undefined> {
  const from = await planUndo(folder)
  if (from === undefined) return undefined
  const manifest = (await readManifestFile(folder))!
  const { older } = findRecord(manifest)!
  if (older !== undefined) await writeFile(join(folder, olderFile), older, { flush: true })
  await rm(join(folder, manifestFile))
  return from
}

function findRecord({ custom = {} }: ExpertManifest): MigrationRecord | undefined {
  const record = custom[recordKey]
  return isRecord(record) && typeof record['sha256'] === 'string'
    ? (record as unknown as MigrationRecord)
    : undefined
}

const hashManifest = (manifest: ExpertManifest): string =>
  createHash('sha256').update(formatExpertManifest(manifest)).digest('hex')

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
  }
}
