// Saves an expert's folder as a whole: adapter and graft.json appear together or not at all.

import { stat } from 'node:fs/promises'
import type { Adapter } from '../../adapters/adapter.ts'
import { saveAdapter } from '../../node/adapters.ts'
import { writeAtomically } from '../../node/files/atomic-write.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { type ExpertMetadata, writeExpertMetadata } from '../../node/graft-json.ts'

/** Writes a new folder, or replaces what is in one. Throws StorageError. */
export async function saveExpert(
  adapter: Adapter,
  notes: ExpertMetadata | undefined,
  out: string,
): Promise<void> {
  const write = async (place: string): Promise<void> => {
    await saveAdapter(adapter, place)
    if (notes) await writeExpertMetadata(notes, createFileSink(place))
  }
  const isThere = (await stat(out).catch(() => undefined)) !== undefined
  await (isThere ? write(out) : writeAtomically(out, write))
}
