import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotFoundError, OptionError } from '../base/errors.ts'
import { f32 } from '../base/tensor.ts'
import type { Model } from '../runtime/index.ts'
import { evaluateGate } from './slow/validation-gate.ts'
import { createLearner } from './learner.ts'
import type { Learner } from './learner-calls.ts'
import { answer, storiesModel, type TestModel } from '../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const fact = { prompt: 'The dog is called', completion: ' Bartholomew the Great.' }
const logitsOf = async (learner: Learner, user: string): Promise<Float32Array> => {
  const [[hidden]] = (await model.hidden([model.encode(fact.prompt)], { at: 'last' })) as [
    [Float32Array],
  ]
  return (await learner.tiers(user)).next(hidden)
}

describe('learning completions', () => {
  it.each([
    ['both tiers', {}],
    ['the fast tier alone', { memory: false as const, fast: { learningRate: 0.02 } }],
    ['the memory alone', { fast: false as const }],
  ])('lowers their loss turn by turn: %s', async (_, tiers) => {
    const learner = createLearner({ model, ...tiers })
    const before = await learner.loss({ user: 'ada', ...fact })
    const losses: number[] = []
    for (let i = 0; i < 6; i++)
      losses.push(
        [...(await learner.learn({ user: 'ada', ...fact })).losses].reduce((a, b) => a + b),
      )
    expect(losses[1]!).toBeLessThan(losses[0]!)
    expect(losses[5]!).toBeLessThan(losses[1]!)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeLessThan(before - 0.5)
  })

  it('tells the frozen model’s losses from the same pass of the model', async () => {
    let passes = 0
    const counting: TestModel = {
      ...model,
      hidden: ((...given: Parameters<Model['hidden']>) => {
        passes++
        return model.hidden(...given)
      }) as Model['hidden'],
    }
    const learner = createLearner({ model: counting })
    const frozen = createLearner({ model, fast: false, memory: false })
    const expected = await frozen.loss({ user: 'nobody', ...fact })
    for (let turn = 1; turn <= 3; turn++) {
      const scores = await learner.learn({ user: 'ada', ...fact, wantsFrozenLosses: true })
      const { losses, frozenLosses } = scores
      expect(passes).toBe(turn)
      expect(frozenLosses!.length).toBe(losses.length)
      const sum = [...frozenLosses!].reduce((a, b) => a + b)
      expect(sum / losses.length).toBeCloseTo(expected, 5)
    }
    expect(await learner.learn({ user: 'ada', ...fact })).not.toHaveProperty('frozenLosses')
  })

  it('answers many users in one batch, each under tiers of their own', async () => {
    const learner = createLearner({ model })
    const users = ['ada', 'bob', 'eve', 'ida']
    for (let i = 0; i < 8; i++) {
      await learner.learn({ user: 'ada', ...fact })
      await learner.learn({ user: 'bob', ...fact, completion: ' Rex, and he barks.' })
    }
    const alone: string[] = []
    for (const user of users) alone.push((await answer(learner, user, fact.prompt)).end.text)
    const together = await Promise.all(users.map((user) => answer(learner, user, fact.prompt)))
    expect(together.map(({ end }) => end.text)).toEqual(alone)
    expect(alone[0]).toContain('Bartholomew')
    expect(alone[1]).toContain('Rex')
    expect(alone[2]).toBe(alone[3])
  })

  it('changes what is written, also under sampling, and for this user only', async () => {
    const learner = createLearner({ model })
    const base = (await answer(learner, 'eve', fact.prompt)).end.text
    for (let i = 0; i < 8; i++) await learner.learn({ user: 'ada', ...fact })
    expect((await answer(learner, 'ada', fact.prompt)).end.text).toContain('Bartholomew')
    expect(
      (await answer(learner, 'ada', fact.prompt, { temperature: 0.7, seed: 3 })).end.text,
    ).toContain('Bart')
    expect((await answer(learner, 'eve', fact.prompt)).end.text).toBe(base)
    const own = (
      await model
        .head()
        .logits(
          f32(
            [1, model.config.width],
            (
              (await model.hidden([model.encode(fact.prompt)], { at: 'last' })) as [[Float32Array]]
            )[0][0],
          ),
        )
    ).data
    expect(await logitsOf(learner, 'eve')).toEqual(own)
    expect((await learner.tiers('eve')).memory!.count).toBe(0)
    await learner.forget('ada')
    expect(await logitsOf(learner, 'ada')).toEqual(own)
  })
})

/** Mean loss of the very tokens that were written. */
async function lossOfTokens(
  learner: Learner,
  user: string,
  prompt: string,
  ids: readonly number[],
): Promise<number> {
  const asked = model.encode(prompt)
  const at = [ids.map((_, t) => asked.length + t - 1)]
  const [rows] = await model.hidden([[...asked, ...ids]], { at })
  const hidden = Float32Array.from(rows!.flatMap((row) => [...row]))
  const { losses } = await (await learner.tiers(user)).score({ hidden, tokens: ids })
  return losses.reduce((sum, loss) => sum + loss, 0) / ids.length
}

describe('feedback', () => {
  it('up makes an answer more likely and down less likely, without further information', async () => {
    for (const seed of [0, 1, 2]) {
      const learner = createLearner({ model, fast: { learningRate: 0.01 } })
      const changes: number[] = []
      for (const [user, feedback] of [
        ['glad', 'up'],
        ['sad', 'down'],
      ] as const) {
        const { end, turn } = await answer(learner, user, 'Once upon a time', {
          temperature: 0.9,
          seed,
        })
        const before = await lossOfTokens(learner, user, 'Once upon a time', end.ids)
        expect((await learner.feedback({ user, turn, feedback })).advantage).toBe(
          feedback === 'up' ? 0.5 : -0.5,
        )
        changes.push((await lossOfTokens(learner, user, 'Once upon a time', end.ids)) - before)
      }
      expect(changes[0]!).toBeLessThan(0)
      expect(changes[1]!).toBeGreaterThan(0)
    }
  })

  it('on the newest answer learns from the states of serving, without a pass of the model', async () => {
    let passes = 0
    const counting: TestModel = {
      ...model,
      hidden: ((...given: Parameters<Model['hidden']>) => {
        passes++
        return model.hidden(...given)
      }) as Model['hidden'],
    }
    const learner = createLearner({ model: counting })
    const older = await answer(learner, 'ada', 'A cat')
    const newest = await answer(learner, 'ada', 'A dog')
    await learner.feedback({ user: 'ada', turn: newest.turn, feedback: 'up' })
    expect(passes).toBe(0)
    await learner.feedback({ user: 'ada', turn: older.turn, feedback: 'up' })
    expect((await learner.tiers('ada')).fast!.steps).toBe(2)
  })

  it('for an answer that is not there, judged already or of another user is refused, and nothing is learned', async () => {
    const learner = createLearner({ model })
    const { turn } = await answer(learner, 'ada', 'A cat')
    await expect(learner.feedback({ user: 'eve', turn, feedback: 'up' })).rejects.toThrow(
      NotFoundError,
    )
    await expect(learner.feedback({ user: 'ada', turn, quality: Number.NaN })).rejects.toThrow(
      OptionError,
    )
    expect((await learner.tiers('ada')).fast!.steps).toBe(0)
    await learner.feedback({ user: 'ada', turn, feedback: 'up' })
    await expect(learner.feedback({ user: 'ada', turn, feedback: 'up' })).rejects.toThrow(
      NotFoundError,
    )
    expect((await learner.tiers('ada')).fast!.steps).toBe(1)
  })
})

describe('consolidating', () => {
  const canaries = [
    {
      prompt: 'Once upon a time',
      completion: ' there was a little girl named Lily. She loved to play outside.',
    },
  ]

  it('moves what was learned into the slow tier and empties the others; versions can be gone back to', async () => {
    const learner = createLearner({
      model,
      slow: { rank: 4, epochs: 30, learningRate: 5e-3, ewc: false },
    })
    const untaught = await learner.loss({ user: 'ada', ...fact })
    for (let i = 0; i < 6; i++) await learner.learn({ user: 'ada', ...fact })
    const verdict = await learner.consolidate('ada', { canaries, bound: 10 })
    expect(verdict).toMatchObject({ kept: true })
    expect((await learner.tiers('ada')).memory!.count).toBe(0)
    expect((await learner.tiers('ada')).fast!.steps).toBe(0)
    const after = await learner.loss({ user: 'ada', ...fact })
    expect(after).toBeLessThan(untaught - 1)
    expect(await learner.loss({ user: 'eve', ...fact })).toBeCloseTo(untaught, 6)
    await learner.restore('ada', 0)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(untaught, 6)
    await learner.restore('ada', 1)
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(after, 6)
    await expect(learner.restore('ada', 2)).rejects.toThrow(NotFoundError)
  })

  it('is rolled back where it hurts the canaries, and leaves everything as it was', async () => {
    const learner = createLearner({
      model,
      slow: { rank: 4, epochs: 20, learningRate: 0.05, ewc: false },
    })
    for (let i = 0; i < 3; i++)
      await learner.learn({
        user: 'mob',
        prompt: 'Once upon a time',
        completion: 'ZZZZ ZZZZ ZZZZ ZZZZ',
      })
    const pairs = (await learner.tiers('mob')).memory!.count
    const verdict = await learner.consolidate('mob', { canaries })
    expect(verdict.kept).toBe(false)
    expect(verdict.reason).toMatch(/canaries went from/)
    expect(await learner.versions('mob')).toHaveLength(1)
    expect((await learner.tiers('mob')).memory!.count).toBe(pairs)
  })

  it('without anything learned, or within no bounds, is refused', async () => {
    const learner = createLearner({ model })
    await expect(learner.consolidate('ada')).rejects.toThrow(/nothing to consolidate/)
    await expect(
      learner.consolidate('ada', { by: 'magic' as 'sum', bound: Number.NaN }),
    ).rejects.toThrow(/by: got "magic".*bound: got NaN/)
  })

  it('is judged by what is left of the gain', () => {
    const held = (after: number) => ({ untaught: 3, before: 1, after })
    expect(evaluateGate({ held: held(1.9) }).kept).toBe(true)
    expect(evaluateGate({ held: held(2.1) }).kept).toBe(false)
    expect(evaluateGate({ held: held(1.9), learned: held(2.1) })).toMatchObject({
      kept: false,
      reason: 'of the 2.000 nats learned only 0.900 were left on learned turns',
    })
    expect(evaluateGate({ canaries: { before: 1, after: 1.02 }, held: held(1) }).kept).toBe(false)
    expect(evaluateGate({ canaries: { before: 1, after: Number.NaN } }).kept).toBe(false)
  })

  it('is refused if nothing was measured, and lists only what was', () => {
    expect(evaluateGate({})).toMatchObject({
      kept: false,
      reason: expect.stringMatching(/nothing was measured/),
    })
    const gain = { untaught: 3, before: 1, after: 1 }
    expect(evaluateGate({ learned: gain }).reason).toBe('learned turns hold')
    expect(evaluateGate({ canaries: { before: 1, after: 1 }, held: gain }).reason).toBe(
      'canaries and held-out turns hold',
    )
  })

  it('by training with few turns does not empty tiers whose turns it did not learn', async () => {
    const learner = createLearner({ model, slow: { rank: 4, epochs: 1, learningRate: 1e-5 } })
    const other = { prompt: 'The cat is called', completion: ' Wilhelmina the Second.' }
    for (let i = 0; i < 3; i++)
      for (const turn of [fact, other]) await learner.learn({ user: 'ada', ...turn })
    const before = await learner.loss({ user: 'ada', ...fact })
    const verdict = await learner.consolidate('ada')
    expect(verdict).toMatchObject({ kept: false })
    expect(verdict.reason).toMatch(/nats learned only/)
    expect(verdict.learned!.before).toBeLessThan(verdict.learned!.untaught - 1)
    expect(verdict.held).toBeDefined()
    expect(await learner.loss({ user: 'ada', ...fact })).toBeCloseTo(before, 6)
  })

  it('by training on a single turn is refused, because none could be held out', async () => {
    const learner = createLearner({ model })
    await learner.learn({ user: 'ada', ...fact })
    await expect(learner.consolidate('ada')).rejects.toThrow(/one kept turn, expected at least two/)
    expect((await learner.tiers('ada')).fast!.steps).toBe(1)
  })

  it('by training keeps the held-out turns for the next consolidation', async () => {
    const learner = createLearner({
      model,
      slow: { rank: 4, epochs: 30, learningRate: 5e-3, ewc: false },
    })
    for (let i = 0; i < 6; i++) await learner.learn({ user: 'ada', ...fact })
    expect((await learner.consolidate('ada')).reason).toBe('held-out turns and learned turns hold')
    expect((await learner.statistics('ada')).keptRows).toBe(1)
  })
})

describe('what cannot be learned', () => {
  it('is refused with what is wrong, and nothing has changed', async () => {
    const learner = createLearner({ model })
    const learn = (turn: object) => learner.learn({ user: 'ada', ...fact, ...turn })
    await expect(learn({ prompt: undefined, completion: 5 })).rejects.toThrow(
      /prompt: got undefined.*completion: got 5, expected a string/,
    )
    await expect(learn({ prompt: [] })).rejects.toThrow(/prompt is empty/)
    await expect(learn({ prompt: [1, 99_999] })).rejects.toThrow(
      /99999 is outside of the vocabulary/,
    )
    await expect(learn({ prompt: 'x '.repeat(5000) })).rejects.toThrow(/context has 512/)
    expect(await learner.statistics('ada')).toMatchObject({ learned: 0, pairs: 0, keptRows: 0 })
  })
  it('by options out of range, all named at once', () => {
    const made = (options: object) => () => createLearner({ model, ...options })
    expect(
      made({
        keptTurns: -1,
        keptRows: 0,
        keptVersions: 0.5,
        coldForm: 'f8',
        qualityRate: 'high',
        canaries: [{ prompt: 'x' }],
      }),
    ).toThrow(
      /qualityRate: got "high".*coldForm: got "f8".*canaries\[0\]: completion: got undefined.*keptTurns: got -1.*keptRows: got 0.*keptVersions: got 0.5/,
    )
    expect(made({ slow: { rank: 2 } })).toThrow(
      /slow.rank: got 2, expected an integer from 4 to 16/,
    )
    expect(made({ fast: { rank: 17 } })).toThrow(/fast.rank: got 17/)
    expect(made({ memory: { capacity: 0 } })).toThrow(/memory.capacity: got 0/)
    expect(made({ limitBytes: -1 })).toThrow(/limitBytes: got -1/)
  })
})
