// What an expert was trained on, in the form of its manifest: files with their hashes, or rows in
// memory.

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import { computeFileSha256 } from '../models/checksum.ts'
import { readRowBytes } from '../rows/row-file.ts'

type DataSets = NonNullable<ExpertManifest['data']>

/** Data as it was read. */
export interface OpenedData {
  readonly name?: string
  readonly rows?: { readonly length: number }
  readonly contentHash?: string
}

/** `given`: a path, several, or data in memory. */
export async function describeDataSets(
  given: unknown,
  opened: OpenedData,
  license: string | undefined,
): Promise<DataSets> {
  const shared = license === undefined ? {} : { license }
  const paths = listPaths(given)
  if (paths.length === 0) return [{ ...describeMemory(opened), ...shared }]
  const sets = []
  for (const path of paths)
    sets.push({
      name: basename(path),
      sha256: await computeFileSha256(path),
      rows: paths.length === 1 ? countRows(opened) : (await readRows(path)).length,
      ...shared,
    })
  return sets
}

const listPaths = (given: unknown): string[] =>
  (Array.isArray(given) ? (given as unknown[]) : [given]).filter((path) => typeof path === 'string')

const readRows = async (path: string) => (await readRowBytes(await readFile(path), path)).rows

const countRows = ({ rows }: OpenedData): number => rows?.length ?? 0

function describeMemory({ name = 'rows in memory', rows, contentHash = '' }: OpenedData) {
  return {
    name,
    ...(/^[0-9a-f]{64}$/.test(contentHash) && { sha256: contentHash }),
    ...(rows && { rows: rows.length }),
  }
}
