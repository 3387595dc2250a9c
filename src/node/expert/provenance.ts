// How an expert was made: the command, the seed, versions of programs, the experts it is from.

import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import { computeExpertHash } from './content-hash.ts'
import { readExpertMetadata } from './expert-notes.ts'
import { toExpertName } from './create-manifest.ts'

type Provenance = NonNullable<ExpertManifest['provenance']>

export interface ProvenanceParts {
  /** As it was typed. */
  readonly command?: string | undefined
  readonly seed?: number | undefined
  /** Folders of the experts that it was made from. */
  readonly sources?: readonly string[] | undefined
}

/** The record of a run. Sources in other tools' files have a name and no hash. */
export async function createProvenance({
  command,
  seed,
  sources = [],
}: ProvenanceParts): Promise<Provenance> {
  const listed = await Promise.all(sources.map(describeSource))
  return {
    ...(command !== undefined && { command: command.replace(/\p{Cc}/gu, ' ') }),
    ...(seed !== undefined && { seed }),
    versions: readVersions(),
    ...(listed.length > 0 && { sources: listed }),
  }
}

async function describeSource(path: string) {
  const isFolder = (await stat(path)).isDirectory()
  const manifest = isFolder ? (await readExpertMetadata(path))?.manifest : undefined
  const id = manifest?.id ?? toExpertName(path)
  // A folder of links, such as the hub's cache, has no content hash.
  const sha256 = isFolder ? await computeExpertHash(path).catch(() => undefined) : undefined
  return {
    id,
    ...(manifest && { version: manifest.version }),
    ...(sha256 !== undefined && { sha256 }),
  }
}

/** Of Graft, Node and ONNX Runtime. */
function readVersions(): Record<string, string> {
  const { version, optionalDependencies } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  ) as { version: string; optionalDependencies: { readonly 'onnxruntime-node': string } }
  return {
    graft: version,
    node: process.versions.node,
    onnxruntime: optionalDependencies['onnxruntime-node'],
  }
}
