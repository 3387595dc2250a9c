// Where this user's registry is.

import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from '../models/cache.ts'

/** GRAFT_REGISTRY, else XDG_DATA_HOME/graft/experts, else ~/.local/share/graft/experts. */
export function getRegistryDirectory(environment: Environment = process.env): string {
  if (environment['GRAFT_REGISTRY']) return environment['GRAFT_REGISTRY']
  const data = environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share')
  return join(data, 'graft', 'experts')
}
