// The manifest of an expert's folder: its expert.json, or one made from what other files say.

import { basename } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { loadAdapter } from '../../adapters/files/peft.ts'
import { OptionError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import {
  checkExpertManifest,
  type ExpertManifest,
  manifestFile,
  parseExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { isExpertName, manifestLayout } from '../../registry/manifest/manifest-fields.ts'
import { readDescription } from '../../train/options/description.ts'
import { readScores } from '../../train/run/scores.ts'
import { openDirectory } from '../files/folder.ts'
import { type ExpertMetadata, readExpertMetadata } from '../graft-json.ts'

export interface FolderNaming {
  readonly id?: string | undefined
  readonly version?: string | undefined
  /** Stands for expert.json where there is none. */
  readonly manifest?: ExpertManifest | undefined
  /** Where the folder came from: its last part is a name where nothing else is. */
  readonly folder: string
  /** As ISO 8601. */
  readonly now: string
}

/**
 * Reads the adapter too, so that no folder is accepted that could not be loaded. Throws FormatError
 * and what `loadAdapter` throws; OptionError where the folder is called otherwise than the choice.
 */
export async function readFolderManifest(
  path: string,
  choice: FolderNaming,
): Promise<ExpertManifest> {
  const folder = await openDirectory(path)
  const adapter = await loadAdapter(folder, { packed: true })
  const source = await folder.open(manifestFile)
  if (!source && choice.manifest) {
    checkExpertManifest(choice.manifest, `${choice.folder}: the manifest that is given`)
    return choice.manifest
  }
  if (!source) return createManifest(adapter, await readExpertMetadata(path), choice)
  try {
    const text = new TextDecoder().decode(await source.read(0, source.sizeBytes))
    const manifest = parseExpertManifest(text, `${choice.folder}: ${manifestFile}`)
    const { id = manifest.id, version = manifest.version } = choice
    if (id !== manifest.id || version !== manifest.version)
      throw new OptionError(
        `${choice.folder}: its manifest says ${manifest.id}@${manifest.version}, got ${id}@${version}. Change the manifest, or leave the name out.`,
      )
    return manifest
  } finally {
    await source.close?.()
  }
}

/** A manifest of what a PEFT folder and a graft.json say. */
export function createManifest(
  adapter: Adapter,
  notes: ExpertMetadata | undefined,
  { id, version, folder, now }: FolderNaming,
): ExpertManifest {
  const { metadata = {}, kind, config, baseModel } = adapter
  const own = Object.assign(readDescription(metadata), notes?.expert)
  const { name, description, tags, author, license, created, finished } = own
  const named = id ?? name ?? basename(folder)
  if (!isExpertName(named))
    throw new OptionError(
      `${folder}: ${quoteName(named)} is no name of an expert: letters, digits, ".", "_" and "-", at most 128. Give one.`,
    )
  const scores = Object.assign({}, readScores(metadata), notes?.expert?.scores)
  const base = { id: notes?.base ?? baseModel, sha256: metadata['graft_base_sha256'] }
  const targets = config['targets']
  const manifest = {
    layout: manifestLayout,
    id: named,
    version: version ?? completeVersion(own.version),
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    kind,
    base: dropUndefined(base),
    ...(isTargets(targets) && { targets }),
    ...(Object.keys(scores).length > 0 && {
      scores: Object.fromEntries(
        Object.entries(scores).map(([metric, value]) => [metric, { value }]),
      ),
    }),
    ...(created !== undefined && { created }),
    modified: finished ?? created ?? now,
    ...(tags && { tags: tags.filter(isExpertName) }),
    ...(notes?.system !== undefined && { system: notes.system }),
    ...(notes?.date !== undefined && { date: notes.date }),
    ...(author !== undefined && { author }),
    ...(license !== undefined && { license }),
  }
  checkExpertManifest(manifest, `${folder}: the manifest made from its files`)
  return manifest
}

const isTargets = (value: unknown): value is string | readonly string[] =>
  typeof value === 'string' ||
  (Array.isArray(value) && value.every((one) => typeof one === 'string'))

/** '1.2' → '1.2.0'; a text that is no version, or none, → '0.1.0'. */
function completeVersion(text: string | undefined): string {
  const [, major, minor = '0', patch = '0'] =
    /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(text ?? '') ?? []
  return major === undefined ? '0.1.0' : `${Number(major)}.${Number(minor)}.${Number(patch)}`
}

const dropUndefined = <Values extends object>(values: Values): Values =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Values
