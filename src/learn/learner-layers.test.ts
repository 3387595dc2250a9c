import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MismatchError, OptionError } from '../base/errors.ts'
import { createLearner, type Learner } from './learner.ts'
import type { LearnerOptions } from './learner-options.ts'
import { createMemoryStore } from './store/memory-store.ts'
import {
  answer,
  canaries,
  story,
  storiesModel,
  type TestModel,
} from '../../test/support/learner.ts'

let model: TestModel
const made: Learner[] = []
beforeAll(async () => void (model = await storiesModel()))
afterAll(async () => {
  await Promise.all(made.map((learner) => learner.close()))
  await model.dispose()
})

const where = { modules: 'all-linear', layers: { last: 2 } } as const
const learnerOf = (options: Partial<LearnerOptions> = {}): Learner => {
  const learner = createLearner({ model, fast: { where, learningRate: 0.02 }, ...options })
  made.push(learner)
  return learner
}
const fact = { prompt: 'The dog is called', completion: ' Bartholomew the Great.' }
const taught = async (learner: Learner, turns: number, user = 'ada'): Promise<number[]> => {
  const losses: number[] = []
  for (let i = 0; i < turns; i++) {
    const read = (await learner.learn({ user, ...fact })).losses
    losses.push(read.reduce((sum, loss) => sum + loss, 0) / read.length)
  }
  return losses
}

describe('a learner whose fast tier lies on layers', () => {
  it.each([
    ['alone', { memory: false }],
    ['beside a memory', {}],
  ] as const)('%s learns completions, writes them, and for one user only', async (_, tiers) => {
    const learner = learnerOf(tiers)
    const base = (await answer(learner, 'eve', fact.prompt)).end.text
    const losses = await taught(learner, 16)
    expect(losses[4]!).toBeLessThan(losses[0]!)
    expect(losses[15]!).toBeLessThan(losses[4]!)
    expect((await learner.tiers('ada')).fast).toBeUndefined()
    expect(await learner.loss({ user: 'ada', ...fact })).toBeLessThan(losses[0]! - 1)
    expect((await answer(learner, 'ada', fact.prompt)).end.text).toContain('Bart')
    expect((await answer(learner, 'eve', fact.prompt)).end.text).toBe(base)
    expect(await learner.loss({ user: 'eve', ...fact })).toBeCloseTo(losses[0]!, 5)
  })

  it('learns from thumbs, whether the answer was judged at once or later', async () => {
    for (const seed of [0, 1]) {
      const learner = learnerOf({ memory: false })
      const changes: number[] = []
      for (const [user, feedback] of [
        ['glad', 'up'],
        ['sad', 'down'],
      ] as const) {
        const first = await answer(learner, user, 'Once upon a time', { temperature: 0.9, seed })
        const second = await answer(learner, user, 'Once upon a time', { temperature: 0.9, seed })
        const completion = second.end.text
        const before = await learner.loss({ user, prompt: 'Once upon a time', completion })
        // The newest turn has its states; the older one is read again, over what the first step
        // changed.
        for (const { turn } of [second, first]) await learner.feedback({ user, turn, feedback })
        changes.push(
          (await learner.loss({ user, prompt: 'Once upon a time', completion })) - before,
        )
      }
      expect(changes[0]!).toBeLessThan(0)
      expect(changes[1]!).toBeGreaterThan(0)
    }
  })

  it('is summed into the slow tier: nothing is lost where its rank holds both, and the tier starts anew', async () => {
    const learner = learnerOf({ memory: false, slow: { rank: 4 } })
    const [first] = await taught(learner, 8)
    const before = await learner.loss({ user: 'ada', ...fact })
    const sum = await learner.consolidate('ada', { by: 'sum', canaries, bound: 10 })
    expect(sum).toMatchObject({ kept: true, by: 'sum' })
    expect(sum.residual!).toBeLessThan(1e-5)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(before, 3)
    await taught(learner, 4)
    const further = await learner.loss({ user: 'ada', ...fact })
    expect(further).toBeLessThan(before)
    expect(await learner.consolidate('ada', { by: 'sum', canaries, bound: 10 })).toMatchObject({
      kept: true,
    })
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(further, 3)
    await learner.restore('ada', 0)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(first!, 5)
  })

  it('is emptied by a training that takes it over', async () => {
    const learner = learnerOf({ slow: { rank: 4, epochs: 30, learningRate: 5e-3, ewc: false } })
    const [first] = await taught(learner, 6)
    expect(await learner.consolidate('ada', { by: 'training', canaries, bound: 10 })).toMatchObject(
      { kept: true },
    )
    const after = await learner.loss({ user: 'ada', ...fact })
    expect(after).toBeLessThan(first! - 1)
    await learner.restore('ada', 0)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(first!, 5)
  })

  it('goes on from a store as if never stopped, and refuses a state of other places', async () => {
    const store = createMemoryStore()
    const first = learnerOf({ store })
    const losses = await taught(first, 3)
    await first.close()
    const again = learnerOf({ store })
    const whole = learnerOf()
    expect([...losses, ...(await taught(again, 2))].map((loss) => loss.toFixed(5))).toEqual(
      (await taught(whole, 5)).map((loss) => loss.toFixed(5)),
    )
    await again.close()
    const other = learnerOf({ store, fast: { where: { modules: 'attention', layers: [4] } } })
    await expect(other.loss({ user: 'ada', ...fact })).rejects.toThrow(MismatchError)
    await expect(other.loss({ user: 'ada', ...fact })).rejects.toThrow(
      /fast tier on layers: got rank 2 on model.layers.3.*expected rank 2 on model.layers.4/s,
    )
  })

  it('is kept from harming canaries', async () => {
    const options = { memory: false, fast: { where, learningRate: 0.1, trust: 1 } } as const
    const open = learnerOf(options)
    const guarded = learnerOf({ ...options, canaries, guard: { bound: 0.01, everyTurns: 4 } })
    const canaryLoss = (learner: Learner): Promise<number> =>
      learner.loss({ user: 'mob', ...canaries[0]! })
    const bare = await canaryLoss(open)
    for (const learner of [open, guarded]) {
      for (let i = 0; i < 12; i++)
        await learner.learn({ user: 'mob', prompt: story(i).prompt, completion: 'ZZZZ ZZZZ ZZZZ' })
    }
    expect(await canaryLoss(open)).toBeGreaterThan(bare * 1.05)
    expect(await canaryLoss(guarded)).toBeLessThan(bare * 1.05)
    expect((await guarded.statistics('mob')).rollbacks).toBeGreaterThan(0)
  })

  it('lies at the head where that is where it is asked for, and nowhere else than in modules there are', async () => {
    const learner = learnerOf({ fast: { where: { modules: 'head' }, rank: 3 } })
    expect((await learner.tiers('ada')).fast!.rank).toBe(3)
    expect(() => createLearner({ model, fast: { where: { modules: 'nose' } } })).toThrow(
      OptionError,
    )
    expect(() => createLearner({ model, fast: { where, rank: 40 } })).toThrow(/fast.rank: got 40/)
    expect(() => createLearner({ model, fast: { where, trust: 0 } })).toThrow(/fast.trust: got 0/)
  })
})
