// The manifest of an expert that is made from others: merged, compressed, converted, extracted.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import { createManifest, type ManifestPart, toExpertName } from './create-manifest.ts'
import { type ExpertMetadata, readExpertMetadata } from './expert-notes.ts'
import { measureFigures } from './figures.ts'
import { createProvenance, type ProvenanceParts } from './provenance.ts'

/** The fields that stay true if an expert's numbers change a little. Scores and figures do not. */
const inheritedKeys = [
  'description',
  'data',
  'tags',
  'domains',
  'routing',
  'chatTemplate',
  'grammar',
  'author',
  'license',
  'fallback',
  'custom',
] as const satisfies readonly (keyof ExpertManifest)[]

export interface DerivedPlaces {
  /** Where the adapter was just saved. */
  readonly place: string
  /** The final path: its last part is the name. */
  readonly out: string
}

/** Undefined if the base of the adapter is not known. */
export async function createDerivedManifest(
  adapter: Adapter,
  notes: ExpertMetadata | undefined,
  { place, out }: DerivedPlaces,
  parts: ProvenanceParts,
): Promise<ExpertManifest | undefined> {
  if (notes?.base === undefined && (adapter.baseModel ?? '') === '') return undefined
  const now = new Date().toISOString()
  const inherited = Object.fromEntries(
    inheritedKeys.flatMap((key) =>
      notes?.manifest?.[key] === undefined ? [] : [[key, notes.manifest[key]] as const],
    ),
  )
  const more: ManifestPart = Object.assign(inherited, {
    ...(notes?.manifest === undefined && { data: await collectData(parts.sources) }),
    chatTemplate: await findFile(place, notes?.manifest?.chatTemplate),
    scores: undefined,
    created: now,
    modified: now,
    figures: await measureFigures(place, adapter),
    provenance: await createProvenance(parts),
  })
  return createManifest(adapter, notes, { id: toExpertName(out), folder: out, now }, { more })
}

/** The data sets of all sources, each once. */
async function collectData(sources: readonly string[] = []): Promise<ExpertManifest['data']> {
  const sets = new Map<string, NonNullable<ExpertManifest['data']>[number]>()
  for (const source of sources)
    for (const set of (await readExpertMetadata(source))?.manifest?.data ?? [])
      sets.set(`${set.sha256} ${set.name}`, set)
  return sets.size === 0 ? undefined : [...sets.values()]
}

async function findFile(folder: string, name: string | undefined): Promise<string | undefined> {
  if (name === undefined) return undefined
  return (await stat(join(folder, name)).catch(() => undefined)) && name
}
