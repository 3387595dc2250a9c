// A process that adds and removes experts until it is killed.

import { join } from 'node:path'
import { openRegistry } from './open-registry.ts'

const [, , location, seeds] = process.argv as [string, string, string, string]
const registry = await openRegistry(location)
console.log('begun')
for (let i = 0; ; i++) {
  const id = `expert-${(i * 7 + process.pid) % 5}`
  const version = `1.0.${(i + process.pid) % 3}`
  const isThere = (await registry.list(id)).some((expert) => expert.version === version)
  if (isThere) await registry.remove(`${id}@${version}`)
  else await registry.add(join(seeds, String(i % 12)), { id, version, channels: ['stable'] })
  if (i % 5 === 4) await registry.collectGarbage()
}
