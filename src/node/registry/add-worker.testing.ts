// A process that adds experts and prints the result of each, a line of JSON each.

import { join } from 'node:path'
import { openRegistry } from './open-registry.ts'

const [location, seeds, number] = process.argv.slice(2) as [string, string, string]
const registry = await openRegistry(location, { waitMs: 60_000 })
for (let i = 0; i < 12; i++) {
  // half of the names are those of other processes, with the content of another seed
  const id = i % 2 === 0 ? `own-${number}-${i}` : `shared-${i}`
  const seed = String((i + Number(number)) % 12)
  try {
    const { hash } = await registry.add(join(seeds, seed), { id, version: '1.0.0' })
    console.log(JSON.stringify({ id, hash }))
  } catch (error) {
    console.log(JSON.stringify({ id, error: (error as Error).name }))
  }
}
await registry.close()
