// Learning from rewards: both losses make rewarded answers more likely, and graders that hang or
// throw do not stop a run.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storiesModel, type TestModel } from '../../../test/support/learner.ts'
import type { Metric } from '../../eval/metric.ts'
import { readQuestions } from '../../eval/questions.ts'
import { createRawDataset } from '../../train/data/jsonl.ts'
import { gradeAnswers } from './grade-answers.ts'
import { type RewardRound, trainByRewards } from './train-by-rewards.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const data = createRawDataset(
  ['Once upon a time', 'One day, a boy'].map((prompt) => ({ prompt, completion: '-' })),
  'prompts',
)

/** A grader: the answer speaks of her more than of him. */
const shePreferred: Metric = {
  name: 'she',
  about: 'says she',
  needs: 'answers',
  kind: 'mean',
  better: 'higher',
  score: ({ answer }) => {
    const count = (word: RegExp): number => (answer.match(word) ?? []).length
    return { value: count(/\b(she|her|girl)\b/gi) > count(/\b(he|his|boy)\b/gi) ? 1 : 0 }
  },
}

const settings = {
  rounds: 4,
  samples: 12,
  newTokens: 16,
  learningRate: 3e-3,
  adapter: { kind: 'lora', config: { rank: 8, targets: 'all-linear' } },
}

/** What is kept of few answers takes more passes. */
const passes = { grpo: 1, rejection: 4 }

describe.each(['grpo', 'rejection'] as const)('training by rewards: %s', (loss) => {
  it(
    'makes rewarded answers likelier, the same with the same seed',
    { timeout: 120_000 },
    async () => {
      const told: RewardRound[] = []
      const { adapter, rounds } = await trainByRewards({
        model,
        data,
        metric: shePreferred,
        loss,
        epochs: passes[loss],
        ...settings,
        onRound: (round) => told.push(round),
      })
      expect(told).toEqual(rounds)
      expect(rounds.map(({ round, answers }) => [round, answers])).toEqual(
        [1, 2, 3, 4].map((round) => [round, 24]),
      )
      expect(rounds[0]!.learned).toBeGreaterThan(0)
      expect(rounds.at(-1)!.reward).toBeGreaterThan(rounds[0]!.reward + 0.2)
      expect(adapter).toBeDefined()
      const again = await trainByRewards({
        model,
        data,
        metric: shePreferred,
        loss,
        epochs: passes[loss],
        ...settings,
        rounds: 1,
      })
      expect(again.rounds).toEqual(rounds.slice(0, 1))
    },
  )
})

describe('a grader', () => {
  const answers = ['a', 'b'].map((text) => ({ question: readQuestions(data)[0]!, text }))
  const make = (score: Metric['score']): Metric => Object.assign({}, shePreferred, { score })
  const hang = (): Promise<never> => new Promise(() => undefined)
  it('that hangs on an answer gives it nothing', async () => {
    const metric = make(({ answer }) => (answer === 'a' ? hang() : { value: 1 }))
    expect(await gradeAnswers(answers, { metric, timeoutMs: 20 })).toEqual({
      rewards: [0, 1],
      hung: 1,
      failed: 0,
    })
  })
  it('that throws is counted, and of a lower-is-better metric the reward turns', async () => {
    const failing = make(({ answer }) => {
      if (answer === 'a') throw new Error('broken')
      return { value: 3, weight: 2 }
    })
    const metric = Object.assign({}, failing, { better: 'lower' as const })
    expect(await gradeAnswers(answers, { metric, timeoutMs: 20 })).toEqual({
      rewards: [0, -1.5],
      hung: 0,
      failed: 1,
    })
  })
  it('that hangs on all of them ends the training, and reports it', async () => {
    const metric = make(hang)
    await expect(
      trainByRewards({
        model,
        data,
        metric,
        ...settings,
        samples: 2,
        newTokens: 1,
        graderTimeoutMs: 10,
      }),
    ).rejects.toThrow('The grader she took longer than 10 ms on all 4 answers')
  })
  it('that judges all answers alike ends in an error, because nothing was learned', async () => {
    const metric = make(() => ({ value: 0 }))
    const few = Object.assign({}, settings, { rounds: 2, samples: 2, newTokens: 1 })
    await expect(trainByRewards({ model, data, metric, ...few })).rejects.toThrow(
      /prompts: nothing was learned in 2 rounds, because all answers .* same reward \(mean 0\.000\)/,
    )
  })
  it('that needs more than a row has is refused before anything is sampled', async () => {
    const metric = Object.assign({}, shePreferred, { findProblem: () => 'no "test"' })
    await expect(trainByRewards({ model, data, metric })).rejects.toThrow(
      /she cannot judge 2 rows: row 1: no "test"/,
    )
    const loss = { model, data, metric: Object.assign({}, metric, { needs: 'loss' as const }) }
    await expect(trainByRewards(loss)).rejects.toThrow(/she judges no answers/)
  })
})
