import { describe, expect, it } from 'vitest'
import { StorageError } from '../../base/errors.ts'
import { UserCheckpoints } from './checkpoints.ts'
import { createMemoryStore } from './memory-store.ts'
import { SaveQueue } from './save-queue.ts'
import { nudge, createTestState } from './testing.ts'
import type { UserStore } from './user-store.ts'

/** A store whose writes wait until they are let through, and may fail. */
function slowStore(): {
  store: UserStore
  puts: () => number
  fail: (error: Error | undefined) => void
} {
  const inner = createMemoryStore()
  let puts = 0
  let failure: Error | undefined
  const put: UserStore['put'] = async (...args) => {
    puts++
    await new Promise((resolve) => void setTimeout(resolve, 5))
    if (failure) throw failure
    return inner.put(...args)
  }
  return { store: { ...inner, put }, puts: () => puts, fail: (error) => void (failure = error) }
}

describe('a queue of saves', () => {
  it('returns before anything is copied or written, and holds the state of when the write begins', async () => {
    const { store, puts } = slowStore()
    const checkpoints = new UserCheckpoints(store)
    const queue = new SaveQueue(checkpoints)
    const state = createTestState(1)
    const saved = queue.save('ada', () => state, 1)
    expect([puts(), queue.isBusy('ada')]).toEqual([0, true])
    nudge(state, 'bias') // the request goes on
    expect(await saved).toMatchObject({ sequence: 1, time: 1 })
    expect((await checkpoints.open('ada'))!.state).toEqual(state)
    await queue.idle()
    expect(queue.isBusy('ada')).toBe(false)
  })
  it('makes one write of all that is asked for meanwhile, and settles each promise when its state is there', async () => {
    const { store, puts } = slowStore()
    const checkpoints = new UserCheckpoints(store)
    const queue = new SaveQueue(checkpoints)
    const state = createTestState(1)
    const first = queue.save('ada', () => state, 0)
    while (puts() === 0) await new Promise((resolve) => void setTimeout(resolve, 1))
    const later = Array.from({ length: 50 }, (_, i) => {
      nudge(state, 'bias')
      return queue.save('ada', () => state, i + 1)
    })
    expect((await first).time).toBe(0)
    for (const info of await Promise.all(later))
      expect(info).toMatchObject({ sequence: 2, time: 50 })
    expect(puts()).toBe(2)
    expect((await checkpoints.open('ada'))!.state).toEqual(state)
  })
  it('writes several users next to each other', async () => {
    const { store, puts } = slowStore()
    const queue = new SaveQueue(new UserCheckpoints(store))
    const saves = ['ada', 'bob', 'eve'].map((user, i) =>
      queue.save(user, () => createTestState(i), i),
    )
    await queue.idle()
    expect(puts()).toBe(3)
    expect((await Promise.all(saves)).map(({ time }) => time)).toEqual([0, 1, 2])
  })
  it('rejects the pending saves after a failure, and continues with the next', async () => {
    const { store, fail } = slowStore()
    const queue = new SaveQueue(new UserCheckpoints(store))
    const state = createTestState(1)
    fail(new StorageError('full'))
    await expect(queue.save('ada', () => state, 1)).rejects.toThrow('full')
    await queue.idle()
    fail(undefined)
    expect(await queue.save('ada', () => state, 2)).toMatchObject({ sequence: 1, time: 2 })
  })
  it('continues after a state that could not be created, also if a caller waits for it', async () => {
    const queue = new SaveQueue(new UserCheckpoints(slowStore().store))
    const broken = (): never => {
      throw new Error('no state')
    }
    await expect(queue.save('ada', broken, 1, { urgent: true })).rejects.toThrow('no state')
    expect(await queue.save('ada', () => createTestState(1), 2, { urgent: true })).toMatchObject({
      sequence: 1,
      time: 2,
    })
  })
})
