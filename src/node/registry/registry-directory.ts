// Where this user's registry is, and the copies of one whose files are in S3.

import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Environment, getCacheDirectory } from '../models/cache.ts'

/** GRAFT_REGISTRY, else XDG_DATA_HOME/graft/experts, else ~/.local/share/graft/experts. */
export function getRegistryDirectory(environment: Environment = process.env): string {
  if (environment['GRAFT_REGISTRY']) return environment['GRAFT_REGISTRY']
  const data = environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share')
  return join(data, 'graft', 'experts')
}

/** In the cache, a folder for each address. */
export function getCopiesDirectory(address: string, environment?: Environment): string {
  const hash = createHash('sha256').update(address).digest('hex').slice(0, 8)
  const name = address.split('?', 1)[0]!.replaceAll(/[^\w.-]+/g, '-')
  return join(getCacheDirectory(environment), 'registries', `${name}-${hash}`)
}
