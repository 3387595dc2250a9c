import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ConflictError,
  MismatchError,
  NotFoundError,
  OptionError,
  StorageError,
} from '../base/errors.ts'
import { createFileStore } from '../node/stores/file-store.ts'
import { createLearner } from './learner.ts'
import type { Learner } from './learner-calls.ts'
import type { LearnerOptions } from './learner-options.ts'
import { createMemoryStore } from './store/memory-store.ts'
import type { PoolProblem } from './store/user-pool-options.ts'
import type { UserStore } from './store/user-store.ts'
import {
  answer,
  canaries,
  story,
  storiesModel,
  type TestModel,
} from '../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

let directory: string
let store: UserStore
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'graft-learner-'))
  store = createFileStore(directory)
})
afterEach(() => rmSync(directory, { recursive: true }))

const made = (options: Partial<LearnerOptions> = {}): Learner =>
  createLearner({ model, store, ...options })
const lossesOf = async (
  learner: Learner,
  user: string,
  from: number,
  to: number,
): Promise<number[]> => {
  const losses: number[] = []
  for (let i = from; i < to; i++)
    losses.push(...(await learner.learn({ user, ...story(i) })).losses)
  return losses
}
const expectClose = (got: readonly number[], expected: readonly number[], digits = 6): void => {
  expect(got).toHaveLength(expected.length)
  got.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(10 ** -digits))
}
/** Everything that a store holds of a user. */
const bytesOf = async (place: UserStore, user: string): Promise<string[]> => {
  const items = await place.list(user)
  return Promise.all(
    items.map(
      async ({ item }) =>
        `${item} ${Buffer.from((await place.get(user, item))!.bytes).toString('base64')}`,
    ),
  )
}

describe('a learner that is opened again', () => {
  it('continues where the one before stopped: tiers, rewards, answers that may be judged', async () => {
    const whole = createLearner({ model })
    const first = made()
    const embedding = (i: number): Float32Array => Float32Array.of(1, i, 0.5)
    const half = async (learner: Learner): Promise<{ turn: number; losses: number[] }> => {
      const losses = await lossesOf(learner, 'ada', 0, 5)
      const judged = await answer(learner, 'ada', 'Once there was', { temperature: 1, seed: 1 })
      await learner.feedback({
        user: 'ada',
        turn: judged.turn,
        quality: 0.9,
        tier: 'small',
        queryEmbedding: embedding(0),
      })
      const { turn } = await answer(learner, 'ada', 'A dog', { temperature: 1, seed: 2 })
      return { turn, losses }
    }
    const expected = await half(whole)
    const got = await half(first)
    expectClose(got.losses, expected.losses)
    await first.close()
    await expect(first.learn({ user: 'ada', ...story(0) })).rejects.toThrow(/closed/)

    const second = createLearner({ model, store: createFileStore(directory) })
    expect(await second.statistics('ada')).toMatchObject({
      learned: 6,
      answers: 2,
      signals: 1,
      meanQuality: 0.9,
      keptRows: 6,
      tiers: { small: { count: 1 } },
    })
    const feedback = { user: 'ada', turn: got.turn, quality: 0.3, queryEmbedding: embedding(0.1) }
    const a = await whole.feedback(feedback)
    const b = await second.feedback(feedback)
    expect(b.novelty).toBeCloseTo(a.novelty!, 6)
    // its states are computed anew, as one pass
    expectClose([b.reward, b.advantage, b.surprise], [a.reward, a.advantage, a.surprise], 5)
    expectClose(await lossesOf(second, 'ada', 5, 10), await lossesOf(whole, 'ada', 5, 10), 5)
    const own = await whole.tiers('ada')
    const other = await second.tiers('ada')
    expect(other.memory!.state()).toEqual(own.memory!.state())
    await second.close()
  })

  it('has the slow tier with what protects it, and every version', async () => {
    const slow = { rank: 4, epochs: 2 }
    const first = made({ slow })
    await lossesOf(first, 'ada', 0, 3)
    expect(await first.consolidate('ada', { bound: 9, least: -9 })).toMatchObject({
      kept: true,
      by: 'training',
    })
    await lossesOf(first, 'ada', 3, 5)
    expect(await first.consolidate('ada', { by: 'sum', bound: 9, least: -9 })).toMatchObject({
      kept: true,
      by: 'sum',
      residual: 0,
    })
    const expected = [
      await first.loss({ user: 'ada', ...story(0) }),
      await first.loss({ user: 'eve', ...story(0) }),
    ]
    await first.close()
    const second = made({ slow })
    expectClose(
      [
        await second.loss({ user: 'ada', ...story(0) }),
        await second.loss({ user: 'eve', ...story(0) }),
      ],
      expected,
    )
    const other = await second.versions('ada')
    expect(other.map(({ number, by }) => [number, by])).toEqual([
      [0, 'start'],
      [1, 'training'],
      [2, 'sum'],
    ])
    expect(other[1]!.ewc!.modules.size).toBeGreaterThan(10)
    await second.restore('ada', 0)
    expectClose([await second.loss({ user: 'ada', ...story(0) })], [expected[1]!])
    await lossesOf(second, 'ada', 0, 3)
    await second.restore('ada', 1)
    await lossesOf(second, 'ada', 0, 3)
    // with the EWC state that was read
    expect((await second.consolidate('ada', { bound: 9, least: -9 })).kept).toBe(true)
    await second.close()
  })
})

describe('a turn', () => {
  it('writes little of a state: what was consolidated stays in its blocks while the memory grows', async () => {
    const learner = made({ slow: { rank: 16, epochs: 1 } })
    await lossesOf(learner, 'ada', 0, 2)
    await learner.consolidate('ada', { bound: 99, least: -99 })
    const sizes: number[] = []
    for (let i = 0; i < 4; i++) {
      await lossesOf(learner, 'ada', i, i + 1)
      await learner.flush()
      sizes.push((await store.list('ada')).at(-1)!.sizeBytes)
    }
    const whole = Math.max(...(await store.list('ada')).map(({ sizeBytes }) => sizeBytes))
    expect(whole).toBeGreaterThan(400_000)
    for (const size of sizes.slice(1)) expect(size).toBeLessThan(0.25 * whole)
    await learner.close()
  })
})

describe('a state that does not belong', () => {
  it('to this model or these tiers is refused with every difference, and stays as it is', async () => {
    const first = made()
    await lossesOf(first, 'ada', 0, 2)
    await first.close()
    const before = await bytesOf(store, 'ada')
    const other = made({ fast: { rank: 2 }, memory: false })
    const refused = other.learn({ user: 'ada', ...story(2) })
    await expect(refused).rejects.toThrow(MismatchError)
    await expect(refused).rejects.toThrow(/fast tier.*rank 4.*rank 2[^]*memory.*kept.*none/)
    await expect(
      made({ memory: { capacity: 10 } }).loss({ user: 'ada', ...story(2) }),
    ).rejects.toThrow(/pairs of the memory/)
    const stranger = { ...model, base: { ...model.base, identity: async () => 'f'.repeat(64) } }
    await expect(made({ model: stranger }).loss({ user: 'ada', ...story(2) })).rejects.toThrow(
      /graft_base_sha256/,
    )
    await other.close()
    expect(await bytesOf(store, 'ada')).toEqual(before)
    expect((await made().statistics('ada')).learned).toBe(2)
  })

  it('that was tampered with is skipped for the previous one, with a report', async () => {
    const first = made()
    await lossesOf(first, 'ada', 0, 1)
    await first.flush()
    await lossesOf(first, 'ada', 1, 2)
    await first.close()
    const newest = (await store.list('ada')).at(-1)!
    const { bytes } = (await store.get('ada', newest.item))!
    await store.put(
      'ada',
      newest.item,
      bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1),
    )
    const problems: PoolProblem[] = []
    const second = made({ onProblem: (problem) => problems.push(problem) })
    expect((await second.statistics('ada')).learned).toBe(1)
    expect(problems[0]!.refused![0]!.reason).toMatch(/incomplete or was changed/)
  })
})

describe('two writers of one user', () => {
  it('lose nothing: the later one gets a report, loads what the other wrote and learns its own turns again', async () => {
    const problems: PoolProblem[] = []
    const one = made()
    const two = made({ onProblem: (problem) => problems.push(problem) })
    await lossesOf(one, 'ada', 0, 2)
    await one.flush()
    expect((await two.statistics('ada')).learned).toBe(2)
    await lossesOf(one, 'ada', 2, 4)
    await one.flush()
    const { turn } = await answer(two, 'ada', 'A cat')
    await lossesOf(two, 'ada', 4, 5)
    await two.flush()
    expect(problems.map(({ user, error }) => [user, error instanceof ConflictError])).toEqual([
      ['ada', true],
    ])
    const expected = createLearner({ model })
    await lossesOf(expected, 'ada', 0, 5)
    for (const learner of [two, made()]) {
      expect((await learner.statistics('ada')).learned).toBe(5)
      expectClose(
        [await learner.loss({ user: 'ada', ...story(6) })],
        [await expected.loss({ user: 'ada', ...story(6) })],
      )
    }
    expect((await two.feedback({ user: 'ada', turn, feedback: 'up' })).advantage).toBe(0.5)
    await two.close()
    // now this one is the later writer; nobody listens to its problems
    await lossesOf(one, 'ada', 5, 6)
    await one.close()
    expect((await made().statistics('ada')).learned).toBe(7)
  })
})

describe('many users', () => {
  it('are in memory by least recent use, and each comes back as it was left, in 8 bits', async () => {
    const learner = made({ limitBytes: 400_000, memory: { capacity: 1000 } })
    const users = Array.from({ length: 8 }, (_, i) => `user ${i}`)
    for (const [i, user] of users.entries())
      for (let turn = 0; turn < 2; turn++) await learner.learn({ user, ...story(i) })
    await learner.flush()
    expect((await store.users()).toSorted()).toEqual(users)
    const single = createLearner({ model })
    for (const [i, user] of users.entries()) {
      await lossesOf(single, user, i, i + 1)
      await lossesOf(single, user, i, i + 1)
      expect((await learner.statistics(user)).learned).toBe(2)
      expect(
        Math.abs(
          (await learner.loss({ user, ...story(i) })) - (await single.loss({ user, ...story(i) })),
        ),
      ).toBeLessThan(0.02)
    }
    await learner.close()
  })

  it('may judge an answer after they left memory', async () => {
    const learner = made({ limitBytes: 0 })
    const kept = createLearner({ model })
    const [{ turn }, same] = [
      await answer(learner, 'ada', 'A dog'),
      await answer(kept, 'ada', 'A dog'),
    ]
    await answer(learner, 'eve', 'A cat')
    const feedback = { feedback: 'up' as const, user: 'ada' }
    const got = await learner.feedback({ ...feedback, turn })
    const expected = await kept.feedback({ ...feedback, turn: same.turn })
    expectClose([got.surprise, got.advantage], [expected.surprise, expected.advantage], 4)
    await expect(learner.feedback({ ...feedback, turn })).rejects.toThrow(NotFoundError)
    await learner.close()
  })

  it('stay in memory if the store fails, which is reported, and which rejects flush', async () => {
    const problems: PoolProblem[] = []
    const full = createMemoryStore({ limitBytes: 1000 })
    const learner = made({ store: full, onProblem: (problem) => problems.push(problem) })
    await lossesOf(learner, 'ada', 0, 2)
    await expect(learner.flush()).rejects.toThrow(StorageError)
    expect(
      problems.every(({ user, error }) => user === 'ada' && error instanceof StorageError),
    ).toBe(true)
    expect(problems.length).toBeGreaterThan(0)
    expect((await learner.statistics('ada')).learned).toBe(2)
  })

  it('with names like paths or of 10 MB affect no other user; forgetting removes everything', async () => {
    const learner = made()
    for (const user of ['../../etc', 'a/b', 'ada']) await lossesOf(learner, user, 0, 1)
    await expect(learner.learn({ user: 'x'.repeat(10_000_000), ...story(0) })).rejects.toThrow(
      OptionError,
    )
    await expect(learner.learn({ user: '', ...story(0) })).rejects.toThrow(OptionError)
    await learner.flush()
    expect((await store.users()).toSorted()).toEqual(['../../etc', 'a/b', 'ada'])
    const before = await learner.loss({ user: 'eve', ...story(0) })
    void learner.learn({ user: 'a/b', ...story(1) })
    await learner.forget('a/b')
    await learner.flush()
    expect((await store.users()).toSorted()).toEqual(['../../etc', 'ada'])
    expect(await learner.loss({ user: 'a/b', ...story(0) })).toBe(before)
  })

  it('are forgotten after a read that takes long', async () => {
    const memory = createMemoryStore()
    const writer = made({ store: memory })
    await lossesOf(writer, 'ada', 0, 1)
    await writer.close()
    const slow: UserStore = {
      ...memory,
      get: async (...args) => {
        await new Promise<void>((resolve) => void setTimeout(resolve, 2_500))
        return memory.get(...args)
      },
    }
    const learner = made({ store: slow })
    const reading = learner.loss({ user: 'ada', ...story(0) })
    await new Promise<void>((resolve) => void setTimeout(resolve, 20))
    await learner.forget('ada')
    await reading
    expect(await memory.users()).toEqual([])
    expect((await learner.statistics('ada')).learned).toBe(0)
  })

  it('are forgotten completely, also if they are requested meanwhile', async () => {
    const problems: PoolProblem[] = []
    let isForgetting = (): void => undefined
    let forgetNow = (): void => undefined
    const begun = new Promise<void>((resolve) => void (isForgetting = resolve))
    const memory = createMemoryStore()
    const slow: UserStore = {
      ...memory,
      forget: async (user) => {
        isForgetting()
        await new Promise<void>((resolve) => void (forgetNow = resolve))
        await memory.forget(user)
      },
    }
    const learner = made({ store: slow, onProblem: (problem) => problems.push(problem) })
    const before = await learner.loss({ user: 'ada', ...story(0) })
    await lossesOf(learner, 'ada', 0, 3)
    await learner.flush()
    const forgotten = learner.forget('ada')
    await begun
    const meanwhile = learner.loss({ user: 'ada', ...story(0) })
    await new Promise<void>((resolve) => void setTimeout(resolve, 20))
    forgetNow()
    await forgotten
    expect(await meanwhile).toBe(before)
    await lossesOf(learner, 'ada', 0, 1)
    await learner.flush()
    expect(problems).toEqual([])
    expect((await learner.statistics('ada')).learned).toBe(1)
  })
})

describe('calls at the same time', () => {
  it('for one user are done one after the other, and answers are written meanwhile', async () => {
    const together = made({ canaries })
    const apart = createLearner({ model, canaries })
    const calls = Array.from({ length: 5 }, (_, i) => together.learn({ user: 'ada', ...story(i) }))
    const answers = [answer(together, 'ada', 'A dog'), answer(together, 'eve', 'A dog')]
    const losses = (await Promise.all(calls)).flatMap((reading) => [...reading.losses])
    expectClose(losses, await lossesOf(apart, 'ada', 0, 5))
    const [ada, eve] = await Promise.all(answers)
    expect([ada!.turn >= 0 && ada!.turn <= 5, eve!.turn]).toEqual([true, 0]) // beside five taught
    await together.close()
    expect((await made().statistics('ada')).learned).toBe(5)
  })
})
