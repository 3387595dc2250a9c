import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { createLearner } from './learner.ts'
import { createMemoryStore } from './store/memory-store.ts'
import type { PoolProblem } from './store/user-pool-options.ts'
import { canaries, story, storiesModel, type TestModel } from '../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const hourMs = 3_600_000

describe('the slow tier takes over', () => {
  it('every hour where there is a clock, after a turn that was learned', async () => {
    let time = 1e12
    const learner = createLearner({ model, now: () => time, slow: { rank: 4 } })
    const byNumber = async () =>
      (await learner.versions('ada')).map(({ number, by, time: at }) => [number, by, at])
    await learner.learn({ user: 'ada', ...story(0) })
    time += hourMs - 1
    await learner.learn({ user: 'ada', ...story(1) })
    await learner.flush()
    expect(await byNumber()).toEqual([[0, 'start', 1e12]])
    expect(await learner.due('ada')).toBe(false)
    time += 1
    expect(await learner.due('ada')).toBe(true)
    await learner.learn({ user: 'ada', ...story(2) })
    await learner.flush()
    expect(await byNumber()).toEqual([
      [0, 'start', 1e12],
      [1, 'sum', time],
    ])
    expect((await learner.tiers('ada')).fast!.steps).toBe(0)
    time += 5 * hourMs
    expect(await learner.due('ada')).toBe(false) // nothing was learned since
    expect(await learner.due('eve')).toBe(false)
  })

  it('every n turns, also for turns that a store has counted', async () => {
    const store = createMemoryStore()
    const slow = { rank: 4, schedule: { everyTurns: 3 } }
    for (let i = 0; i < 7; i++) {
      const learner = createLearner({ model, slow, store })
      await learner.learn({ user: 'ada', ...story(i) })
      await learner.close()
    }
    const last = createLearner({ model, slow, store })
    expect((await last.versions('ada')).map(({ by }) => by)).toEqual(['start', 'sum', 'sum'])
    expect((await last.tiers('ada')).fast!.steps).toBe(1)
  })

  it('never by itself without a clock, nor by hand', async () => {
    for (const options of [{}, { now: () => Date.now(), slow: { schedule: 'by-hand' as const } }]) {
      const learner = createLearner({ model, ...options })
      await learner.learn({ user: 'ada', ...story(0) })
      await learner.flush()
      expect([await learner.due('ada'), (await learner.versions('ada')).length]).toEqual([false, 1])
    }
  })

  it('not more often after the gate rejects; failures are reported, and learning continues', async () => {
    const problems: PoolProblem[] = []
    const options = {
      model,
      canaries,
      guard: { everyTurns: 1000 },
      onProblem: (problem: PoolProblem) => void problems.push(problem),
    }
    const mob = createLearner({
      ...options,
      fast: { learningRate: 0.2, trust: 10 },
      slow: { schedule: { everyTurns: 4 } },
    })
    const rubbish = { user: 'mob', prompt: 'Once upon a time', completion: 'ZZZZ ZZZZ ZZZZ ZZZZ' }
    for (let i = 0; i < 4; i++) await mob.learn(rubbish)
    await mob.flush()
    expect(await mob.versions('mob')).toHaveLength(1)
    await mob.learn(rubbish)
    expect(await mob.due('mob')).toBe(false)
    expect(problems).toEqual([])
    const broken = createLearner({
      ...options,
      slow: { targets: ['nowhere'], schedule: { everyTurns: 1, by: 'training' } },
    })
    await broken.learn({ user: 'ada', ...story(0) })
    await broken.learn({ user: 'ada', ...story(1) })
    await broken.flush()
    expect(problems.map(({ user, error }) => [user, String(error)])[0]).toEqual([
      'ada',
      expect.stringMatching(/nowhere/),
    ])
    expect((await broken.statistics('ada')).learned).toBe(2)
  })

  it('by no schedule that cannot be followed', () => {
    const made =
      (schedule: object, options = {}) =>
      () =>
        createLearner({ model, slow: { schedule }, ...options })
    expect(made({})).toThrow(/neither everyMs nor everyTurns/)
    expect(made({ everyMs: 5 })).toThrow(/needs a clock/)
    expect(made({ everyTurns: 0.5, by: 'magic' })).toThrow(/everyTurns: got 0.5.*by: got "magic"/)
    expect(made({ everyTurns: 1, by: 'sum' }, { fast: false })).toThrow(OptionError)
  })
})
