import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLearner } from '../learner.ts'
import { createUser, type LearnerUser } from './user.ts'
import { createHeadLoss } from '../tiers/head-gradient.ts'
import { listWarnings } from './statistics.ts'
import { answer, story, storiesModel, type TestModel } from '../../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const fresh = (): LearnerUser =>
  createUser('ada', {
    head: model.head(),
    headLoss: createHeadLoss(model.head()),
    tierOptions: {},
    now: () => 0,
  })
const codes = (user: LearnerUser): string[] => listWarnings(user).map(({ code }) => code)

describe('statistics', () => {
  it('say what a user has heard, learned and kept', async () => {
    const learner = createLearner({ model })
    for (let i = 0; i < 32; i++) await learner.learn({ user: 'ada', ...story(i) })
    for (const quality of [0.4, 0.8]) {
      const { turn } = await answer(learner, 'ada', 'A dog')
      await learner.feedback({
        user: 'ada',
        turn,
        quality,
        tier: 'small',
        contextTokens: 100,
        latencyRatio: 0.5,
      })
    }
    const figures = await learner.statistics('ada')
    expect(figures).toMatchObject({
      signals: 2,
      learned: 34,
      answers: 2,
      versions: 1,
      version: 0,
      trust: 1,
      rollbacks: 0,
    })
    expect(figures.meanQuality).toBeCloseTo(0.6)
    expect(figures.qualityVariance).toBeCloseTo(0.08)
    expect(figures.tiers['small']!.meanQuality).toBeCloseTo(0.6)
    expect([figures.meanContextTokens, figures.meanLatencyRatio]).toEqual([100, 0.5])
    expect(figures.recentLoss).toBeLessThan(figures.firstLoss)
    expect(figures.pairs).toBe((await learner.tiers('ada')).memory!.count)
    expect(figures.sizeBytes).toBeGreaterThan(6 * 4 * 4 * model.config.width)
    expect((await learner.statistics('eve')).meanContextTokens).toBeUndefined()
    expect(await learner.warnings('eve')).toEqual([])
  })
})

describe('warnings', () => {
  it('of feedback on one side, which say what to do', () => {
    const user = fresh()
    Object.assign(user.record, { count: 19, mean: 1 })
    expect(codes(user)).toEqual([])
    user.record.count = 20
    expect(listWarnings(user)[0]!.message).toMatch(
      /mean quality of 20 signals is 1, outside 0.4 to 0.9.*normalizeQuality/,
    )
    user.record.mean = 0.9
    expect(codes(user)).toEqual([])
    user.record.mean = 0.39
    expect(codes(user)).toEqual(['one-sided-feedback'])
  })
  it('of steps too small to move where the loss does not fall', async () => {
    const learner = createLearner({ model, memory: false, fast: { learningRate: 1e-8 } })
    for (let i = 0; i < 24; i++) await learner.learn({ user: 'ada', ...story(i) })
    const [warning] = await learner.warnings('ada')
    expect(warning!.code).toBe('rate-too-small')
    expect(warning!.message).toMatch(/learningRate of 1e-8 is too small. Try ten times as much/)
  })
  it('of a rank that does not fit', () => {
    const user = fresh()
    const fast = user.tiers.fast!
    fast.steps = 20
    fast.lastRelativeStep = 0.005
    Object.assign(user.record, { losses: 20, firstLoss: 3, recentLoss: 2.9 })
    const fill = (
      values: Float32Array,
      at: (row: number, column: number) => number,
      columns: number,
    ): void => values.forEach((_, i) => (values[i] = at(Math.floor(i / columns), i % columns)))
    fill(fast.A.data, (row, column) => (row === column ? 1 : 0), fast.width)
    fill(fast.B.data, (row, column) => (row === column ? 1 : 0), fast.rank)
    expect(codes(user)).toEqual(['rank-too-small'])
    fill(fast.B.data, (row, column) => (row === 0 && column === 0 ? 1 : 0), fast.rank)
    expect(listWarnings(user)[0]!.message).toMatch(
      /is in 1 directions of its 4; rank 1 would hold it/,
    )
  })
  it('of canaries that held a user back again and again', () => {
    const user = fresh()
    Object.assign(user.guard, { stepScale: 0.25, rollbacks: 2 })
    expect(codes(user)).toEqual(['canaries-held'])
  })
})
