// Its own process that prepares a file slowly: node writer.testing.ts <store> <cache> <parts> <ms>
import { setTimeout as sleep } from 'node:timers/promises'
import { openPackedFiles } from './open-packed-files.ts'
import { createParts, createStore } from './prepared.testing.ts'

const [path, cache, count, pauseMs] = process.argv.slice(2) as [string, string, string, string]
const files = await openPackedFiles({
  weights: await createStore(path),
  environment: { GRAFT_CACHE: cache },
  leastBytes: 0,
})
const parts = createParts(Number(count)).map((part) => ({
  ...part,
  make: async () => {
    await sleep(Number(pauseMs))
    process.stdout.write('.')
    return part.make()
  },
}))
const kept = await files!.keep(parts)
await files!.close()
process.stdout.write(kept ? 'kept' : 'none')
