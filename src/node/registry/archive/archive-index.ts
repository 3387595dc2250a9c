// experts.json at the top of an archive: which folder has which expert, with its hash and its entry
// in the registry.

import { FormatError, UnsupportedError } from '../../../base/errors.ts'
import {
  findOptionProblems,
  integer,
  isRecord,
  listOf,
  object,
  record,
  string,
} from '../../../base/schema.ts'
import { joinProblems } from '../../../formats/quote.ts'
import {
  checkExpertManifest,
  type ExpertManifest,
} from '../../../registry/manifest/expert-manifest.ts'
import { isExpertName } from '../../../registry/manifest/manifest-fields.ts'
import { readJson } from '../../../registry/publish/read-json.ts'
import { findPathProblem } from '../../../registry/signing/resources.ts'

export const archiveIndexFile = 'experts.json'

const archiveLayout = 1

export interface ArchivedExpert {
  /** Below the archive's top. */
  readonly folder: string
  readonly hash: string
  readonly tags: readonly string[]
  readonly manifest: ExpertManifest
}

const fields = {
  layout: integer({ from: 1 }),
  experts: listOf(
    object({
      folder: string({ filled: true }),
      hash: string({ filled: true }),
      tags: listOf(string()),
      manifest: record,
    }),
    { least: 1 },
  ),
}

export const encodeArchiveIndex = (experts: readonly ArchivedExpert[]): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify({ layout: archiveLayout, experts }, null, 2)}\n`)

/** Throws FormatError with everything that is wrong, UnsupportedError for a newer layout. */
export function readArchiveIndex(bytes: Uint8Array, name: string): ArchivedExpert[] {
  const value = readJson(bytes, name)
  const given = isRecord(value) ? value : {}
  const { layout } = given
  if (typeof layout === 'number' && layout > archiveLayout)
    throw new UnsupportedError(
      `${name}: has layout ${layout}, and this version of Graft reads up to ${archiveLayout}. Update Graft to read it.`,
    )
  const problems = findOptionProblems(given, fields)
  if (layout === undefined || given['experts'] === undefined)
    problems.push('expected layout and experts')
  if (problems.length > 0)
    throw new FormatError(`${name}: is not a list of experts:\n${joinProblems(problems)}`)
  return (given['experts'] as Readonly<Record<string, unknown>>[]).map((expert, i) =>
    readEntry(expert, `${name}: experts[${i}]`),
  )
}

function readEntry(
  { folder, hash, tags = [], manifest }: Readonly<Record<string, unknown>>,
  name: string,
): ArchivedExpert {
  if (typeof folder !== 'string' || findPathProblem(folder) !== undefined)
    throw new FormatError(`${name}: folder: expected a path below the archive's top.`)
  if (typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash))
    throw new FormatError(`${name}: hash: expected 64 hexadecimal digits.`)
  checkExpertManifest(manifest, name)
  return { folder, hash, tags: (tags as string[]).filter(isExpertName), manifest }
}
