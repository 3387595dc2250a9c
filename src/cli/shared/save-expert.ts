// Saves an expert's folder as a whole: adapter and expert.json appear together or not at all.

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import type { SaveAdapterOptions } from '../../adapters/files/peft.ts'
import { saveAdapter } from '../../node/adapters.ts'
import { createDerivedManifest } from '../../node/expert/derived-manifest.ts'
import { type ExpertMetadata, olderFile } from '../../node/expert/expert-notes.ts'
import { writeManifestFile } from '../../node/expert/manifest-file.ts'
import type { ProvenanceParts } from '../../node/expert/provenance.ts'
import { writeAtomically } from '../../node/files/atomic-write.ts'
import { createFileSink } from '../../node/files/file-sink.ts'

/** Writes a new folder, or replaces what is in one. Throws StorageError. */
export async function saveExpert(
  adapter: Adapter,
  notes: ExpertMetadata | undefined,
  out: string,
  parts: ProvenanceParts,
): Promise<void> {
  const write = (place: string): Promise<void> => writeExpert(adapter, notes, { place, out }, parts)
  const isThere = (await stat(out).catch(() => undefined)) !== undefined
  await (isThere ? write(out) : writeAtomically(out, write))
}

/** Writes adapter and manifest into `place`, which will be `out`. */
export async function writeExpert(
  adapter: Adapter,
  notes: ExpertMetadata | undefined,
  places: { readonly place: string; readonly out: string },
  parts: ProvenanceParts,
  options: SaveAdapterOptions = {},
): Promise<void> {
  const { place } = places
  await saveAdapter(adapter, place, options)
  const manifest = await createDerivedManifest(adapter, notes, places, parts)
  if (manifest) await writeManifestFile(manifest, createFileSink(place))
  await rm(join(place, olderFile), { force: true })
}
