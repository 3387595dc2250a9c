import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { createLearner } from '../learner.ts'
import type { Learner } from '../learner-calls.ts'
import type { LearnerOptions } from '../learner-options.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import {
  answer,
  canaries,
  story,
  storiesModel,
  type TestModel,
} from '../../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const turns = 32
const bound = 0.01
// A rate that does harm within the test's length.
const options = (): LearnerOptions => ({ model, fast: { learningRate: 0.05, trust: 1 } })
const canaryLoss = async (learner: Learner, user: string): Promise<number> => {
  const losses = await Promise.all(canaries.map((canary) => learner.loss({ user, ...canary })))
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length
}

const verdicts: Readonly<Record<string, (i: number, draw: () => number) => number>> = {
  'all thumbs down': () => 0,
  'all thumbs up, on rubbish': () => 1,
  'at random': (_, draw) => (draw() < 0.5 ? 0 : 1),
}

/** Answers drawn so hot that they are rubbish, each judged. */
async function hostile(learner: Learner, name: keyof typeof verdicts, user = 'mob'): Promise<void> {
  const { uniform } = random(5)
  const temperature = name === 'all thumbs down' ? 0.7 : 3
  for (let i = 0; i < turns; i++) {
    const { turn } = await answer(learner, user, canaries[i % 2]!.prompt, {
      temperature,
      seed: i,
      maxTokens: 12,
    })
    await learner.feedback({ user, turn, quality: verdicts[name]!(i, uniform) })
  }
}

describe('hostile feedback', () => {
  it.each(Object.keys(verdicts))(
    '%s: canaries hold with the guard, and do not without',
    async (name) => {
      const guarded = createLearner({ ...options(), canaries, guard: { bound, everyTurns: 1 } })
      const open = createLearner(options())
      const bare = await canaryLoss(open, 'nobody')
      await hostile(open, name)
      expect(await canaryLoss(open, 'mob')).toBeGreaterThan(bare * (1 + bound))
      await hostile(guarded, name)
      expect(await canaryLoss(guarded, 'mob')).toBeLessThanOrEqual(bare * (1 + bound) + 1e-6)
      expect((await guarded.statistics('mob')).rollbacks).toBeGreaterThan(0)
      expect((await guarded.statistics('nobody')).rollbacks).toBe(0)
    },
  )
})

describe('the guard', () => {
  it('goes back to what was well, not to nothing, and trust comes back', async () => {
    const fast = { rank: 16, learningRate: 0.07, trust: 1 } // harm that sparing the canaries' directions does not avert
    const learner = createLearner({
      model,
      fast,
      memory: false,
      canaries,
      guard: { bound: 0.05, everyTurns: 4 },
    })
    for (let i = 0; i < 4; i++)
      await learner.learn({
        user: 'ada',
        prompt: canaries[0]!.prompt,
        completion: canaries[0]!.completion,
      })
    const loss = await learner.loss({ user: 'ada', ...canaries[0]! })
    const tiers = await learner.tiers('ada')
    const tensors = [...tiers.fast!.tensors().values()].map(({ data }) => data.slice())
    for (let i = 0; i < 4; i++)
      await learner.learn({ user: 'ada', prompt: 'Once upon a time', completion: 'ZZZZ ZZZZ ZZZZ' })
    expect(await learner.statistics('ada')).toMatchObject({ rollbacks: 1, trust: 0.5, learned: 8 })
    expect([...tiers.fast!.tensors().values()].map(({ data }) => data)).toEqual(tensors)
    expect(await learner.loss({ user: 'ada', ...canaries[0]! })).toBe(loss)
    for (let i = 0; i < 16; i++) await learner.learn({ user: 'ada', ...canaries[i % 2]! })
    expect((await learner.statistics('ada')).trust).toBe(1)
  })

  describe('leaves the fast tier where the memory alone does harm', () => {
    const harmed = async (
      lessons: readonly { readonly prompt: string; readonly completion: string }[],
    ) => {
      const learner = createLearner({
        model,
        fast: { learningRate: 1e-6 },
        canaries,
        guard: { everyTurns: lessons.length },
      })
      for (const lesson of lessons) await learner.learn({ user: 'mob', ...lesson })
      const { fast } = await learner.tiers('mob')
      const within =
        (await canaryLoss(learner, 'mob')) <= (await canaryLoss(learner, 'nobody')) * (1 + bound)
      return { within, steps: fast!.steps, ...(await learner.statistics('mob')) }
    }
    it('gets less weight if that suffices', async () => {
      const some = [0, 1].map((i) => ({
        prompt: canaries[i]!.prompt,
        completion: 'ZZZZ ZZZZ ZZZZ',
      }))
      const found = await harmed([...some, ...some])
      expect(found).toMatchObject({ within: true, steps: 4, rollbacks: 0, trust: 1 })
      expect(found.pairs).toBeGreaterThan(20)
    })
    it('and goes back where it does not', async () => {
      const words = canaries.map(({ prompt, completion }) => [prompt, ...completion.split(/(?= )/)])
      const everywhere = words.flatMap((parts) =>
        parts
          .slice(1)
          .map((_, i) => ({ prompt: parts.slice(0, i + 1).join(''), completion: 'ZZ' })),
      )
      expect(await harmed(everywhere)).toMatchObject({
        within: true,
        steps: everywhere.length,
        pairs: 0,
        rollbacks: 1,
        trust: 0.5,
      })
    })
  })

  it('looks first at what it reads from a store, where nothing is known to be well', async () => {
    const store = createMemoryStore()
    const open = createLearner({ ...options(), store })
    for (let i = 0; i < 4; i++)
      await open.learn({ user: 'mob', prompt: 'Once upon a time', completion: 'ZZZZ ZZZZ ZZZZ' })
    await open.close()
    const guarded = createLearner({ ...options(), store, canaries, guard: { everyTurns: 1000 } })
    expect((await guarded.tiers('mob')).fast!.steps).toBe(4)
    await guarded.learn({ user: 'mob', ...story(0) })
    expect((await guarded.tiers('mob')).fast!.steps).toBe(1)
    expect(await guarded.statistics('mob')).toMatchObject({ rollbacks: 1 })
    await guarded.close()
    expect(await createLearner({ ...options(), store }).statistics('mob')).toMatchObject({
      rollbacks: 1,
      trust: 0.5,
      learned: 5,
    })
  })

  it('does not change users without a regression', async () => {
    const learner = createLearner({
      model,
      canaries: [story(0), story(1)],
      guard: { everyTurns: 2 },
    })
    for (let i = 0; i < 8; i++) await learner.learn({ user: 'ada', ...story(i) })
    expect(await learner.statistics('ada')).toMatchObject({ rollbacks: 0, trust: 1 })
  })

  it('refuses bounds that cannot be kept', () => {
    expect(() => createLearner({ model, guard: { bound: -1 } })).toThrow(/guard.bound: got -1/)
    expect(() => createLearner({ model, guard: { everyTurns: 0 } })).toThrow(OptionError)
  })
})
