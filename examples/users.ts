// A thousand users, each with their own MicroLoRA, sixteen of them in memory, all in one SQLite
// file: node examples/users.ts; in your own project, import from 'graftlm/learn' and
// 'graftlm/node'.

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UserCheckpoints } from '../src/learn/store/index.ts'
import { openSqliteStore } from '../src/node/stores/sqlite-store.ts'
import { createModule, createPool, measureError, teach } from './shared/taught-users.ts'

const users = 1000
const folder = await mkdtemp(join(tmpdir(), 'graft-users-'))
const path = join(folder, 'users.sqlite')
const store = await openSqliteStore(path)
const pool = createPool(new UserCheckpoints(store))

let most = 0
for (let i = 0; i < users; i++) {
  await pool.use(`user ${i}`, (lora, changed) => {
    teach(lora, i, 20)
    changed()
  })
  most = Math.max(most, pool.users.length)
}
await pool.flush()
const sizeKb = ((await stat(path)).size / users / 1024).toFixed(1)
console.log(`${users} users taught, at most ${most} in memory, ${sizeKb} KB of file each`)

let sum = 0
let untaught = 0
for (let i = 0; i < users; i += 50) {
  sum += await pool.use(`user ${i}`, (lora) => measureError(lora, i))
  untaught += measureError(createModule(), i)
}
const [error, before] = [sum, untaught].map((total) => (total / 20).toFixed(3))
console.log(`error of twenty of them ${error}, untaught ${before}`)

await store.close()
await rm(folder, { recursive: true })
