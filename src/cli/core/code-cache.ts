// Keeps Node's compiled code of the program's sources, so that a command starts in half the time.

import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { getCacheDirectory } from '../../node/models/cache.ts'

const variable = 'NODE_COMPILE_CACHE'

/**
 * Uses Node's cache of compiled code, in the folder of NODE_COMPILE_CACHE or `code` in Graft's
 * cache. Programs and threads that this one starts use it too. Where the folder cannot be written,
 * Node continues without.
 */
export function useCodeCache(environment: NodeJS.ProcessEnv = process.env): void {
  environment[variable] ||= join(getCacheDirectory(environment), 'code')
  // Bun and Deno have no such cache.
  enableCompileCache?.(environment[variable])
}
