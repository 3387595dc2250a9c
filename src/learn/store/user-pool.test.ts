import { beforeEach, describe, expect, it } from 'vitest'
import { ConflictError, FormatError, OptionError, StorageError } from '../../base/errors.ts'
import { formatItemName } from './checkpoint-chain.ts'
import { UserCheckpoints } from './checkpoints.ts'
import { createMemoryStore } from './memory-store.ts'
import { nudge, measureStateError, createTestState, type TestState } from './testing.ts'
import { UserPool } from './user-pool.ts'
import type { PoolProblem, UserPoolOptions } from './user-pool-options.ts'
import { estimateStateBytes, type UserState } from './user-state.ts'
import type { UserStore } from './user-store.ts'

const oneBytes = estimateStateBytes(createTestState(1))
let store: UserStore
let failure: Error | undefined
let reads: number
let problems: PoolProblem[]
let time: number
beforeEach(() => {
  const inner = createMemoryStore()
  failure = undefined
  reads = 0
  problems = []
  time = 0
  store = {
    ...inner,
    list: async (user) => (reads++, inner.list(user)),
    put: async (...args) => {
      if (failure) throw failure
      return inner.put(...args)
    },
  }
})

const makePool = (
  users: number,
  options: Partial<UserPoolOptions<UserState>> = {},
): UserPool<UserState> =>
  new UserPool<UserState>({
    checkpoints: new UserCheckpoints(store),
    load: (user, state) => state ?? createTestState(user.length),
    stateOf: (state) => state,
    limitBytes: users * oneBytes,
    now: () => ++time,
    onProblem: (problem) => void problems.push(problem),
    ...options,
  })
const learn = (pool: UserPool<UserState>, user: string): Promise<void> =>
  pool.use(user, (state, changed) => {
    nudge(state, 'second.head.A')
    changed()
  })
/** Waits until what releases set off is done. */
const settled = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 20))

describe('a pool of users', () => {
  it('gives concurrent callers the same object, from one read', async () => {
    const pool = makePool(4)
    const opened = await Promise.all(Array.from({ length: 20 }, () => pool.open('ada')))
    expect(new Set(opened.map(({ live }) => live)).size).toBe(1)
    expect(reads).toBe(1)
    expect(pool.users).toEqual(['ada'])
  })
  it('never exceeds its bytes, and loses nothing of forty users that learn alternately', async () => {
    const pool = makePool(3)
    const names = Array.from({ length: 40 }, (_, i) => `user-${String(i).padStart(2, '0')}`)
    for (let round = 0; round < 3; round++)
      for (const user of names) {
        await learn(pool, user)
        expect(pool.usedBytes).toBeLessThanOrEqual(4 * oneBytes)
      }
    await settled()
    expect(pool.usedBytes).toBeLessThanOrEqual(3 * oneBytes)
    expect(pool.users).toEqual(names.slice(-3))
    await pool.flush()
    const start = createTestState(7).tensors.get('second.head.A')!.data[0] as number
    for (const user of names)
      expect(
        await pool.use(user, ({ tensors }) => tensors.get('second.head.A')!.data[0]),
      ).toBeCloseTo(start + 3, 5)
    expect(problems).toEqual([])
  })
  it('evicts the least recently used first, and none that is in use', async () => {
    const pool = makePool(2)
    const held = await pool.open('a')
    for (const user of ['b', 'c', 'b', 'd']) await learn(pool, user)
    await settled()
    expect(pool.users).toEqual(['a', 'd'])
    expect((await pool.open('a')).live).toBe(held.live)
  })
  it('keeps one state for a user that is opened again during eviction', async () => {
    const pool = makePool(1)
    await learn(pool, 'ada')
    const bob = pool.open('bob') // sends ada away
    const ada = await pool.open('ada')
    nudge(ada.live, 'second.head.A')
    ada.changed()
    await bob
    const again = await pool.open('ada')
    expect(again.live).toBe(ada.live)
  })
  it('keeps a user whose save waits behind the write of its eviction', async () => {
    const gate = Promise.withResolvers<void>()
    const { put } = store
    store.put = async (...args) => (await gate.promise, put(...args))
    const pool = makePool(1)
    await learn(pool, 'ada')
    const bob = pool.open('bob') // evicts ada, whose write waits at the gate
    await settled()
    const saved = pool.save('ada')
    gate.resolve()
    expect(await saved).toMatchObject({ form: 'f32' })
    ;(await bob).release()
    await settled()
    expect([pool.users, problems]).toEqual([['bob'], []])
  })
  it('keeps cold users in int8 and hot ones in f32; statistics and exact tensors exactly', async () => {
    const pool = makePool(1)
    const checkpoints = new UserCheckpoints(store)
    await learn(pool, 'ada')
    const hot = await pool.save('ada')
    expect(hot).toMatchObject({ form: 'f32' })
    expect(await pool.save('ada')).toBeUndefined() // nothing changed since
    await learn(pool, 'bob')
    await settled()
    const cold = (await checkpoints.open('ada'))!
    expect([cold.form, pool.users]).toEqual(['int8', ['bob']])
    const expected = createTestState(3)
    nudge(expected, 'second.head.A')
    expect(cold.state.header).toEqual(expected.header)
    expect(cold.state.tensors.get('second.head.A')).toEqual(expected.tensors.get('second.head.A'))
    expect(measureStateError('head.A', expected, cold.state)).toBeGreaterThan(0)
    expect(measureStateError('head.A', expected, cold.state)).toBeLessThan(0.03)
  })
  it('writes nothing for users that only read, and nothing for unknown users', async () => {
    const pool = makePool(1)
    for (const user of ['a', 'b', 'c']) await pool.use(user, () => undefined)
    await settled()
    expect(await store.users()).toEqual([])
    await learn(pool, 'a')
    await learn(pool, 'b')
    await settled()
    const before = await store.list('a')
    await pool.use('a', () => undefined)
    await pool.use('b', () => undefined)
    await settled()
    expect(await store.list('a')).toEqual(before)
  })
  it('holds any live object that can be made a state', async () => {
    class Counter {
      count = 0
    }
    const pool = new UserPool<Counter>({
      checkpoints: new UserCheckpoints(store),
      load: (_, state) => Object.assign(new Counter(), state?.header),
      stateOf: ({ count }) => ({ tensors: new Map(), header: { count } }),
      limitBytes: 0,
      now: () => 0,
    })
    for (let i = 0; i < 5; i++)
      await pool.use('ada', (counter, changed) => (counter.count++, changed()))
    expect(await pool.use('ada', ({ count }) => count)).toBe(5)
  })
})

describe('a store that fails', () => {
  it('keeps users with changes in memory, reports it, and serves on from what can leave', async () => {
    const pool = makePool(2)
    await learn(pool, 'ada')
    await settled()
    failure = new StorageError('quota used up')
    for (const user of ['x', 'y', 'z']) await pool.use(user, () => undefined)
    await settled()
    expect(pool.users).toContain('ada')
    expect(problems.length).toBeGreaterThan(0)
    expect(problems[0]).toEqual({ user: 'ada', error: failure })
    await expect(pool.save('ada')).rejects.toThrow('quota used up')
    await expect(pool.flush()).rejects.toThrow(
      /1 users could not be saved and stay in memory: "ada"/,
    )
    failure = undefined
    await pool.flush()
    expect((await new UserCheckpoints(store).open('ada'))!.state.header).toEqual(
      createTestState(3).header,
    )
  })
  it('refuses a user that memory cannot hold, instead of losing others', async () => {
    const pool = makePool(2)
    await learn(pool, 'ada')
    await learn(pool, 'bob')
    failure = new StorageError('disk full')
    await expect(pool.open('eve')).rejects.toThrow(
      /"eve" cannot be opened: memory is full of users with changes that could not be written \(StorageError: disk full\)/,
    )
    expect([pool.users, pool.usedBytes]).toEqual([['ada', 'bob'], 2 * oneBytes])
    failure = undefined
    await pool.use('eve', () => undefined)
    expect(pool.users).toContain('eve')
  })
  it('refuses bad names, and users whose checkpoints are all broken, and holds nothing for them', async () => {
    const pool = makePool(2)
    await expect(pool.open('x'.repeat(10_000_000))).rejects.toThrow(OptionError)
    await store.put('ada', formatItemName(1), new Uint8Array(100))
    await expect(pool.open('ada')).rejects.toThrow(FormatError)
    expect([pool.users, pool.usedBytes]).toEqual([[], 0])
  })
  it('tells of checkpoints that were refused', async () => {
    await new UserCheckpoints(store).write('ada', createTestState(3), 0)
    await store.put('ada', formatItemName(2), new Uint8Array(100))
    await makePool(2).open('ada')
    expect(problems).toEqual([
      {
        user: 'ada',
        refused: [{ sequence: 2, reason: expect.stringContaining('incomplete') as string }],
      },
    ])
  })
})

describe('two pools over one store', () => {
  it('lose nothing: the later writer gets an error and keeps its state', async () => {
    const left = makePool(2)
    const right = makePool(2)
    await right.use('ada', () => undefined)
    await learn(left, 'ada')
    await left.flush()
    await learn(right, 'ada')
    await expect(right.save('ada')).rejects.toThrow(ConflictError)
    await learn(right, 'bob')
    await learn(right, 'eve')
    await settled()
    expect(right.users).toContain('ada')
    expect(
      problems.some(({ user, error }) => user === 'ada' && error instanceof ConflictError),
    ).toBe(true)
    expect(await right.save('ada', { onTop: true })).toMatchObject({ sequence: 2 })
    await learn(left, 'ada')
    await expect(left.save('ada')).rejects.toThrow(ConflictError)
    left.discard('ada')
    expect(
      await left.use('ada', ({ tensors }) => tensors.get('second.head.A')!.data[0]),
    ).toBeCloseTo(
      ((createTestState(3) as TestState).tensors.get('second.head.A')!.data[0] as number) + 1,
      5,
    )
  })
  it('discards no user that is in use', async () => {
    const pool = makePool(1)
    const ada = await pool.open('ada')
    expect(() => pool.discard('ada')).toThrow(OptionError)
    ada.release()
    pool.discard('ada')
    expect([pool.users, pool.usedBytes]).toEqual([[], 0])
  })
})
