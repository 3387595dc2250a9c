// expert.json in an adapter's folder, read and written.

import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import {
  type ExpertManifest,
  formatExpertManifest,
  manifestFile,
  parseExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { openDirectory } from '../files/folder.ts'

/** Undefined if there is none. Throws FormatError with everything that is wrong. */
export const readManifestFile = async (
  folder: string,
  name = folder,
): Promise<ExpertManifest | undefined> => readManifestIn(await openDirectory(folder), name)

/** The same of a folder that is open. */
export async function readManifestIn(
  folder: ByteFolder,
  name = folder.name,
): Promise<ExpertManifest | undefined> {
  const source = await folder.open(manifestFile)
  if (!source) return undefined
  try {
    const text = new TextDecoder().decode(await source.read(0, source.sizeBytes))
    return parseExpertManifest(text, `${name}: ${manifestFile}`)
  } finally {
    await source.close?.()
  }
}

/** Throws FormatError before anything is written. */
export async function writeManifestFile(manifest: ExpertManifest, sink: ByteSink): Promise<void> {
  const bytes = new TextEncoder().encode(formatExpertManifest(manifest))
  await sink.write(manifestFile, [bytes])
}
