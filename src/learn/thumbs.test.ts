import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { createLearner } from './learner.ts'
import type { Learner } from './learner-calls.ts'
import { answer, storiesModel, type TestModel } from '../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => {
  model = await storiesModel()
})
afterAll(() => model.dispose())

const judged = [
  'Once upon a time, there was a',
  'In a small house there lived a',
  'There was once a',
]
const unseen = ['One day, a', 'On Sunday a']
const likes = (text: string): boolean => /\b(boy|he|his|him|Tim|Tom)\b/.test(text)

/**
 * log p of what the user would like − log p of what not, on openings that were never judged: mean
 * nats per token.
 */
async function margin(learner: Learner, user: string): Promise<number> {
  let sum = 0
  for (const prompt of unseen) {
    sum += await learner.loss({ user, prompt, completion: ' little girl named Lily. She' })
    sum -= await learner.loss({ user, prompt, completion: ' little boy named Tim. He' })
  }
  return sum / unseen.length
}

function shuffled<Value>(values: readonly Value[], seed: number): Value[] {
  const { uniform } = random(seed)
  return values
    .map((value) => ({ value, at: uniform() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

/** Answers and verdicts, the user's own unless others are given. Returns the user's own. */
async function talk(
  learner: Learner,
  user: string,
  seed: number,
  verdicts?: readonly boolean[],
): Promise<boolean[]> {
  const own: boolean[] = []
  for (let i = 0; i < 48; i++) {
    const { end, turn } = await answer(learner, user, judged[i % judged.length]!, {
      maxTokens: 10,
      temperature: 0.9,
      seed: 1000 * seed + i,
    })
    own.push(likes(end.text))
    await learner.feedback({ user, turn, feedback: (verdicts?.[i] ?? own[i]!) ? 'up' : 'down' })
  }
  return own
}

describe('thumbs and nothing else', () => {
  it.each([
    ['with the memory', {}],
    ['the fast tier alone', { memory: false as const, fast: { learningRate: 5e-3 } }],
  ])(
    'make what a user likes likelier where it was never judged, more than the same verdicts shuffled, in three orders: %s',
    async (_, tiers) => {
      const gains: number[] = []
      for (const seed of [0, 1, 2]) {
        const learner = createLearner({ model, ...tiers })
        const before = await margin(learner, 'nobody')
        const verdicts = await talk(learner, 'ada', seed)
        await talk(learner, 'control', seed, shuffled(verdicts, seed))
        const honest = (await margin(learner, 'ada')) - before
        const control = (await margin(learner, 'control')) - before
        gains.push(honest - control)
        expect(honest).toBeGreaterThan(0)
      }
      expect(gains.reduce((sum, gain) => sum + gain, 0) / gains.length).toBeGreaterThan(0.1)
    },
    120_000,
  )
})
