import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MismatchError, OptionError } from '../base/errors.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { createLearner } from './learner.ts'
import type { Learner } from './learner-calls.ts'
import type { LearnerOptions } from './learner-options.ts'
import { createMemoryStore } from './store/memory-store.ts'
import { selectKeyLayer } from './turns/turn-states.ts'
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

describe('a learner whose fast tier is on layers', () => {
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

  it('continues from a store as if never stopped, and refuses a state of other places', async () => {
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

  it('is at the head on request, and otherwise only in existing modules', async () => {
    const learner = learnerOf({ fast: { where: { modules: 'head' }, rank: 3 } })
    expect((await learner.tiers('ada')).fast!.rank).toBe(3)
    expect(() => createLearner({ model, fast: { where: { modules: 'nose' } } })).toThrow(
      OptionError,
    )
    expect(() => createLearner({ model, fast: { where, rank: 40 } })).toThrow(/fast.rank: got 40/)
    expect(() => createLearner({ model, fast: { where, trust: 0 } })).toThrow(/fast.trust: got 0/)
  })
})

describe('a learner whose fast tiers lie at the head and on layers', () => {
  const both = { head: { rank: 3 }, layers: { where, learningRate: 0.02 } } as const

  it('learns with both from one gradient, faster than with either', async () => {
    const memory = false
    const learner = learnerOf({ memory, fast: both })
    const losses = await taught(learner, 8)
    const { fast } = await learner.tiers('ada')
    expect([fast!.rank, fast!.steps]).toEqual([3, 8])
    const onLayers = await taught(learnerOf({ memory, fast: { layers: both.layers } }), 8)
    const atHead = await taught(learnerOf({ memory, fast: { head: both.head } }), 8)
    expect(losses[0]!).toBeCloseTo(onLayers[0]!, 6)
    expect(losses[7]!).toBeLessThan(onLayers[7]!)
    expect(losses[7]!).toBeLessThan(atHead[7]!)
    await taught(learner, 8)
    expect((await answer(learner, 'ada', fact.prompt)).end.text).toContain('Bart')
  })

  it('sums both into the slow tier, and continues from a store', async () => {
    const store = createMemoryStore()
    const options = { memory: false, fast: both, slow: { rank: 8 }, store } as const
    const first = learnerOf(options)
    await taught(first, 6)
    const before = await first.loss({ user: 'ada', ...fact })
    await first.close()
    const again = learnerOf(options)
    expect(await again.loss({ user: 'ada', ...fact })).toBeCloseTo(before, 5)
    const sum = await again.consolidate('ada', { by: 'sum' })
    expect(sum).toMatchObject({ kept: true, reason: 'learned turns hold' })
    expect((await again.tiers('ada')).fast!.steps).toBe(0)
    expect(await again.loss({ user: 'ada', ...fact })).toBeCloseTo(before, 3)
  })
})

describe('keys of the memory', () => {
  it('are not the embeddings of one token: a tier on layer 0 needs memory: false', () => {
    const reaching = { where: { modules: 'attention' } } as const
    expect(() => createLearner({ model, fast: reaching })).toThrow(
      /reaches layer 0 leaves the memory only token embeddings.*memory: false/,
    )
    expect(() => learnerOf({ fast: reaching, memory: false })).not.toThrow()
  })
  it.each([
    [1, undefined],
    [2, 1],
    [3, 1],
    [30, 28],
  ])('of a model of %i layers are the states that enter layer %s', (count, layer) => {
    const layers = Array.from({ length: count }, () => model.config.layers[0]!)
    expect(selectKeyLayer({ layers })).toBe(layer)
  })
})

describe('the slow tier', () => {
  it('learns in the layers that are named', async () => {
    const learner = learnerOf({
      memory: false,
      slow: { rank: 4, epochs: 30, learningRate: 5e-3, ewc: false, layers: { last: 1 } },
    })
    await taught(learner, 6)
    expect(await learner.consolidate('ada')).toMatchObject({ kept: true })
    const [, { adapter }] = (await learner.versions('ada')) as [unknown, { adapter: Adapter }]
    const layers = [...adapter.tensors.keys()].map((key) => /layers\.(\d+)/.exec(key)?.[1])
    expect(new Set(layers)).toEqual(new Set(['4']))
    const wrong = learnerOf({ memory: false, slow: { layers: [9] } })
    await taught(wrong, 2)
    await expect(wrong.consolidate('ada')).rejects.toThrow(/no layer 9/)
  })
})
