// Finds the place of a catalogue's model, and the folder in which running commands are listed.

import { join } from 'node:path'
import { getCacheDirectory } from '../../node/models/cache.ts'
import type { CatalogueEntry } from '../../catalogue/catalogue.ts'

/** The folder with a file for each running server and training run. */
export const getRunningFolder = (): string => join(getCacheDirectory(), 'running')

/** 'embedded' in the package, 'cached', or 'not fetched'. */
export async function findModelPlace({ name, sources }: CatalogueEntry): Promise<string> {
  if (sources.some(({ kind }) => kind === 'embedded')) return 'embedded'
  const { resolveModel } = await import('../../node/models/resolve.ts')
  try {
    const found = await resolveModel(name, { offline: true })
    if ('gguf' in found) await found.gguf.close?.()
    return 'cached'
  } catch {
    return 'not fetched'
  }
}
