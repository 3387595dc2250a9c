// A thousand users, each with a MicroLoRA of their own, sixteen of them in memory, all in one
// SQLite file: node examples/users.ts In a project of your own, import from 'graftlm/learn',
// 'graftlm/micro' and 'graftlm/node'.

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConflictError } from '../src/base/errors.ts'
import {
  UserCheckpoints,
  decodeMicroLora,
  encodeMicroLora,
  UserPool,
} from '../src/learn/store/index.ts'
import { MicroLora } from '../src/micro/index.ts'
import { openSqliteStore } from '../src/node/stores/sqlite-store.ts'

const users = 1000
const inMemory = 16
const width = 32
const folder = await mkdtemp(join(tmpdir(), 'graft-users-'))
const path = join(folder, 'users.sqlite')
const store = await openSqliteStore(path)

const make = (): MicroLora =>
  new MicroLora({ inFeatures: width, outFeatures: width, rank: 2, momentum: 0.9, seed: 1 })
const sizeBytes = make().toSafetensors().length
const makePool = (checkpoints: UserCheckpoints): UserPool<MicroLora> =>
  new UserPool({
    checkpoints,
    load: (_, state) => (state ? decodeMicroLora(state) : make()),
    stateOf: encodeMicroLora,
    limitBytes: inMemory * sizeBytes,
    coldForm: 'int8',
    now: Date.now,
    onProblem: ({ user, error }) => console.log(`${user}: ${String(error)}`),
  })

const input = Float32Array.from({ length: width }, (_, i) => Math.sin(i))
/** What user i wants to hear. */
const computeWish = (i: number): Float32Array =>
  Float32Array.from({ length: width }, (_, j) => Math.cos(i + j))
const measureError = (lora: MicroLora, i: number): number =>
  lora.forward(input).reduce((sum, y, j) => sum + (y - computeWish(i)[j]!) ** 2, 0) / width

const pool = makePool(new UserCheckpoints(store))
let most = 0
for (let i = 0; i < users; i++) {
  await pool.use(`user ${i}`, (lora, changed) => {
    for (let step = 0; step < 20; step++) {
      lora.adapt(input, { target: computeWish(i) })
      lora.applyUpdates(0.1)
    }
    changed()
  })
  most = Math.max(most, pool.users.length)
}
await pool.flush()
console.log(
  `${users} users taught, at most ${most} in memory, ${((await stat(path)).size / users / 1024).toFixed(1)} KB of file each`,
)

let sum = 0
let untaught = 0
for (let i = 0; i < users; i += 50) {
  sum += await pool.use(`user ${i}`, (lora) => measureError(lora, i))
  untaught += measureError(make(), i)
}
console.log(
  `error of twenty of them ${(sum / 20).toFixed(3)}, untaught ${(untaught / 20).toFixed(3)}`,
)

// Another process has the same user: the later writer is told, and nothing is lost.
const other = makePool(new UserCheckpoints(store))
for (const each of [pool, other])
  await each.use('user 7', (lora, changed) => {
    lora.adapt(input, { target: computeWish(7) })
    lora.applyUpdates(0.1)
    changed()
  })
await pool.save('user 7')
try {
  await other.save('user 7')
} catch (problem) {
  if (!(problem instanceof ConflictError)) throw problem
  other.discard('user 7') // go on with what the first one wrote; save('user 7', { onTop: true }) would keep both in the history
  console.log('told: somebody else wrote user 7')
}

const history = new UserCheckpoints(store)
await history.open('user 7')
const versions = await history.list('user 7')
for (const info of versions)
  if ('time' in info)
    console.log(
      `checkpoint ${info.sequence}: ${info.form}, ${info.whole ? 'whole' : 'changes'}, ${info.sizeBytes} bytes`,
    )
await history.restore('user 7', versions[0]!.sequence, Date.now())
console.log(`restored; now there are ${(await history.list('user 7')).length}`)
await store.close()
await rm(folder, { recursive: true })
