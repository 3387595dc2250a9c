// A process that adds, publishes and removes experts until it is killed.

import { join } from 'node:path'
import { ConflictError } from '../../base/errors.ts'
import { openRegistry } from './open-registry.ts'
import { publishExpert } from './publish/publish-expert.ts'

const [location, seeds, site] = process.argv.slice(2) as [string, string, string]
const registry = await openRegistry(location)
console.log('begun')
for (let i = 0; ; i++) {
  const id = `expert-${(i * 7 + process.pid) % 5}`
  const version = `1.0.${(i + process.pid) % 3}`
  const isThere = (await registry.list(id)).some((expert) => expert.version === version)
  if (isThere) await registry.remove(`${id}@${version}`)
  else await registry.add(join(seeds, String(i % 12)), { id, version, channels: ['stable'] })
  const [first] = await registry.list()
  // a version that was removed may be there again with other content
  if (first && i % 2 === 0)
    await publishExpert(registry, `${first.id}@${first.version}`, site).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
  if (i % 5 === 4) await registry.collectGarbage()
}
