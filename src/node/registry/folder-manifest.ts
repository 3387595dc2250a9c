// The manifest of an expert's folder: its expert.json, or one made from other files.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { loadAdapter } from '../../adapters/files/peft.ts'
import { OptionError } from '../../base/errors.ts'
import { cardFile } from '../../registry/card/format-card.ts'
import { type CardNotes, readModelCard } from '../../registry/card/read-card.ts'
import {
  checkExpertManifest,
  type ExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { signatureFile } from '../../registry/signing/resources.ts'
import { createManifest, type ManifestNaming } from '../expert/create-manifest.ts'
import { readExpertMetadata } from '../expert/expert-notes.ts'
import { readManifestFile, writeManifestFile } from '../expert/manifest-file.ts'
import { createFileSink } from '../files/file-sink.ts'
import { openDirectory } from '../files/folder.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

export interface FolderNaming extends ManifestNaming {
  /** Replaces expert.json if there is none. */
  readonly manifest?: ExpertManifest | undefined
}

/**
 * Reads the adapter too, so that only loadable folders are accepted. Throws FormatError and what
 * `loadAdapter` throws.
 */
export async function readFolderManifest(
  path: string,
  choice: FolderNaming,
): Promise<ExpertManifest> {
  const adapter = await loadAdapter(await openDirectory(path), { packed: true })
  const manifest = await readManifestFile(path, choice.folder)
  if (manifest) return manifest
  if (choice.manifest) {
    checkExpertManifest(choice.manifest, `${choice.folder}: the manifest that is given`)
    return choice.manifest
  }
  const card = await readFolderCard(path, choice.folder)
  return createManifest(adapter, await readExpertMetadata(path), choice, { card })
}

/** The metadata of README.md, if there is one. Throws FormatError for malicious metadata. */
export async function readFolderCard(path: string, name = path): Promise<CardNotes> {
  const file = join(path, cardFile)
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT') return ''
    throw toStorageError(`${file}: cannot be read`, cause)
  })
  return readModelCard(text, `${name}: ${cardFile}`)
}

/**
 * Writes the name and the version that were chosen into a copy's expert.json, so that the registry
 * and the file agree. Throws OptionError for a copy that is signed under other ones.
 */
export async function renameManifest(
  path: string,
  { id, version, folder }: Pick<FolderNaming, 'id' | 'version' | 'folder'>,
): Promise<void> {
  if (id === undefined && version === undefined) return
  const manifest = await readManifestFile(path, folder)
  if (!manifest) return
  const renamed = Object.assign({}, manifest, {
    id: id ?? manifest.id,
    version: version ?? manifest.version,
  })
  if (renamed.id === manifest.id && renamed.version === manifest.version) return
  if (await stat(join(path, signatureFile)).catch(() => undefined))
    throw new OptionError(
      `${folder}: is signed as ${manifest.id}@${manifest.version}, got ${renamed.id}@${renamed.version}. Change its expert.json and sign it again, or leave the name out.`,
    )
  await writeManifestFile(renamed, createFileSink(path))
}
