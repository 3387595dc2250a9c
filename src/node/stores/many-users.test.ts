import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { UserCheckpoints } from '../../learn/store/checkpoints.ts'
import { UserPool } from '../../learn/store/user-pool.ts'
import { estimateStateBytes, type UserState } from '../../learn/store/user-state.ts'
import { openSqliteStore } from './sqlite-store.ts'

const users = 10_000
const width = 64
const fresh = (): UserState => ({
  tensors: new Map([
    ['A', f32([2, width])],
    ['B', f32([width, 2])],
  ]),
  header: { samples: 0 },
})

it('ten thousand users in SQLite, fifty of them in memory at once, each found as it was left', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'graft-many-'))
  try {
    const path = join(directory, 'users.sqlite')
    const store = await openSqliteStore(path)
    const checkpoints = new UserCheckpoints(store)
    const pool = new UserPool<UserState>({
      checkpoints,
      load: (_, state) => state ?? fresh(),
      stateOf: (state) => state,
      limitBytes: 50 * estimateStateBytes(fresh()),
      now: () => 0,
      coldForm: 'int4',
    })
    const nameOf = (i: number): string => `user ${i}`
    const visit = (i: number): Promise<void> =>
      pool.use(nameOf(i), ({ tensors, header }, changed) => {
        ;(tensors.get('A')!.data as Float32Array).fill(i)
        ;(header as { samples: number }).samples++
        changed()
      })
    let most = 0
    for (let i = 0; i < users; i++) {
      await visit(i)
      most = Math.max(most, pool.users.length)
    }
    await pool.flush()
    expect(most).toBeLessThanOrEqual(51) // one more while it is made room for
    expect(pool.users.length).toBeLessThanOrEqual(50)
    expect(await store.users()).toHaveLength(users)
    const { integer } = random(7)
    const other = new UserCheckpoints(store)
    for (const i of [0, users - 1, ...Array.from({ length: 300 }, () => integer(users))]) {
      const { state } = (await other.open(nameOf(i)))!
      expect([i, state.header['samples']]).toEqual([i, 1])
      expect(Math.abs((state.tensors.get('A')!.data[5] as number) - i)).toBeLessThanOrEqual(
        0.01 * i,
      )
    }
    await visit(17)
    expect(await pool.use(nameOf(17), ({ header }) => header['samples'])).toBe(2)
    await store.close()
    console.log(`${users} users: ${(statSync(path).size / users).toFixed(0)} bytes of file each`)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
