// The contents of an expert's folder in addition to PEFT's files: the base, the system message and
// the date of its training, and its purpose. Read from expert.json, or from graft.json, which older
// versions wrote.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { parseDay } from '../../formats/text/day.ts'
import { type ExpertManifest, manifestFile } from '../../registry/manifest/expert-manifest.ts'
import type { AdapterDescription } from '../../train/options/description.ts'
import type { AdapterScores } from '../../train/run/scores.ts'
import { openDirectory } from '../files/folder.ts'
import { readManifestIn } from './manifest-file.ts'

/** The expert's description, time of training and results. */
export interface ExpertNotes extends AdapterDescription {
  /** Begin and end of the training, as ISO 8601. */
  readonly created?: string
  readonly finished?: string
  /** By metric: validation_loss, and the evaluation after the training. */
  readonly scores?: AdapterScores
}

export interface ExpertMetadata {
  /** The name with which the base was loaded. */
  readonly base?: string | undefined
  /** The system message of the training rows that had none. */
  readonly system?: string
  /** The date, such as 2026-11-30, that the chat template showed in training, if it shows one. */
  readonly date?: string
  /** Of graft.json. */
  readonly expert?: ExpertNotes
  /** expert.json, where there is one. */
  readonly manifest?: ExpertManifest
}

/** The file of versions before expert.json. */
export const olderFile = 'graft.json'
/** Layout of that file. */
const olderLayout = 1

/**
 * The metadata in an adapter's folder; undefined if another tool saved it. Throws FormatError for
 * another kind of file, UnsupportedError for a newer layout.
 */
export async function readExpertMetadata(path: string): Promise<ExpertMetadata | undefined> {
  // GGUF files and Modelfiles have no own folder
  if ((await stat(path).catch(() => undefined))?.isFile()) return undefined
  return readMetadataIn(await openDirectory(path))
}

/** The same of a folder that is open. */
export async function readMetadataIn(folder: ByteFolder): Promise<ExpertMetadata | undefined> {
  const manifest = await readManifestIn(folder)
  if (!manifest) return readOlderFile(folder)
  const { base, system, date } = manifest
  return {
    base: base.id,
    ...(system !== undefined && { system }),
    ...(date !== undefined && { date }),
    manifest,
  }
}

/** Whether Graft has begun to write an expert there. */
export async function hasExpertFile(folder: string): Promise<boolean> {
  for (const name of [manifestFile, olderFile])
    if (await stat(join(folder, name)).catch(() => undefined)) return true
  return false
}

/** graft.json alone. Throws as `readExpertMetadata` does. */
export async function readOlderFile(folder: ByteFolder): Promise<ExpertMetadata | undefined> {
  const source = await folder.open(olderFile)
  if (!source) return undefined
  try {
    const value: unknown = JSON.parse(
      new TextDecoder().decode(await source.read(0, source.sizeBytes)),
    )
    checkNotes(value, source.name)
    return value
  } catch (cause) {
    if (cause instanceof SyntaxError)
      throw new FormatError(`${source.name}: is not JSON. Remove it to continue without it.`, {
        cause,
      })
    throw cause
  } finally {
    await source.close?.()
  }
}

/** The common entries of experts' notes, and the names of entries in which they differ. */
export function mergeExpertMetadata(all: readonly (ExpertMetadata | undefined)[]): {
  readonly notes: ExpertMetadata | undefined
  readonly dropped: readonly ('base' | 'system' | 'date')[]
} {
  const pick = <Key extends 'base' | 'system' | 'date'>(key: Key) => {
    const values = new Set(all.map((notes) => notes?.[key]))
    return { value: values.size === 1 ? [...values][0] : undefined, isMixed: values.size > 1 }
  }
  const base = pick('base')
  const system = pick('system')
  const date = pick('date')
  const dropped = [
    ...(base.isMixed ? (['base'] as const) : []),
    ...(system.isMixed || (base.isMixed && system.value !== undefined)
      ? (['system'] as const)
      : []),
    ...(date.isMixed || (base.isMixed && date.value !== undefined) ? (['date'] as const) : []),
  ]
  const notes =
    base.value === undefined
      ? undefined
      : {
          base: base.value,
          ...(system.value !== undefined && { system: system.value }),
          ...(date.value !== undefined && { date: date.value }),
        }
  return { notes, dropped }
}

function listNoteProblems(notes: unknown): string[] {
  if (!isRecord(notes)) return [`got ${describeValue(notes)}, expected an object`]
  const { base, system, date } = notes
  return [
    ...(typeof base === 'string' ? [] : [`base: got ${describeValue(base)}, expected a string`]),
    ...(system === undefined || typeof system === 'string'
      ? []
      : [`system: got ${describeValue(system)}, expected a string`]),
    ...(date === undefined || (typeof date === 'string' && parseDay(date))
      ? []
      : [`date: got ${describeValue(date)}, expected a day such as "2026-11-30"`]),
  ]
}

function checkNotes(value: unknown, name: string): asserts value is ExpertMetadata {
  const version = isRecord(value) ? value['version'] : undefined
  if (typeof version === 'number' && version > olderLayout)
    throw new UnsupportedError(
      `${name}: has layout ${version}, and this version of Graft reads up to ${olderLayout}. Update Graft to open it.`,
    )
  const problems = listNoteProblems(value)
  if (version !== undefined && version !== olderLayout)
    problems.unshift(`version: got ${describeValue(version)}, expected ${olderLayout}`)
  if (problems.length > 0)
    throw new FormatError(
      `${name}: contains no notes on an expert: ${problems.join('; ')}. Remove it to continue without it.`,
    )
}
