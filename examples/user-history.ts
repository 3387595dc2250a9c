// Two programs change one user: the later one gets an error, and nothing is lost. Then the user
// goes back to an earlier checkpoint: node examples/user-history.ts; in your own project, import
// from 'graftlm', 'graftlm/learn' and 'graftlm/node'.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConflictError } from '../src/base/errors.ts'
import { UserCheckpoints } from '../src/learn/store/index.ts'
import { openSqliteStore } from '../src/node/stores/sqlite-store.ts'
import { createPool, teach } from './shared/taught-users.ts'

const user = 'user 7'
const folder = await mkdtemp(join(tmpdir(), 'graft-history-'))
const store = await openSqliteStore(join(folder, 'users.sqlite'))
const [one, other] = [0, 1].map(() => createPool(new UserCheckpoints(store)))
const learn = (pool: ReturnType<typeof createPool>): Promise<void> =>
  pool.use(user, (lora, changed) => {
    teach(lora, 7, 1)
    changed()
  })

await learn(one!)
await one!.save(user)
await learn(one!)
await learn(other!)
await one!.save(user)
try {
  await other!.save(user)
} catch (problem) {
  if (!(problem instanceof ConflictError)) throw problem
  // Continues with the first one's state; save(user, { onTop: true }) keeps both in the history.
  other!.discard(user)
  console.log('told: somebody else wrote user 7')
}

const history = new UserCheckpoints(store)
await history.open(user)
const versions = await history.list(user)
for (const info of versions)
  if ('time' in info) {
    const holds = info.whole ? 'whole' : 'changes'
    console.log(`checkpoint ${info.sequence}: ${info.form}, ${holds}, ${info.sizeBytes} bytes`)
  }
await history.restore(user, versions[0]!.sequence, Date.now())
console.log(`restored; now there are ${(await history.list(user)).length}`)
await store.close()
await rm(folder, { recursive: true })
