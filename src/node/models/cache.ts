// The cache of fetched models: its directory and the names of its files.

import { stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

/** GRAFT_CACHE, else XDG_CACHE_HOME/graft, else ~/.cache/graft. */
export function getCacheDirectory(environment: Environment = process.env): string {
  if (environment['GRAFT_CACHE']) return environment['GRAFT_CACHE']
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'graft')
}

/** The place of a file known by its checksum. */
export const getPathByHash = (cache: string, sha256: string, name: string): string =>
  join(cache, 'files', sha256.slice(0, 16), name)

/**
 * Whether a file of that size is there: files in the cache were checked when they were put there.
 */
export async function isCached(path: string, sizeBytes?: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return (
    found !== undefined && found.isFile() && (sizeBytes === undefined || found.size === sizeBytes)
  )
}
