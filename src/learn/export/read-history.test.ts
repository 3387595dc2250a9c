// What can be read from a store about a user's turns without the learner that wrote it.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { answer, story, storiesModel, type TestModel } from '../../../test/support/learner.ts'
import { createLearner } from '../learner.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import { readStoredHistory } from './read-history.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

it('tells corrections with what they replaced, signals, and nothing that was unlearned', async () => {
  const store = createMemoryStore()
  const learner = createLearner({ model, store })
  const { end, turn } = await answer(learner, 'ada', 'Lily saw')
  await learner.correct({ user: 'ada', turn, completion: ' a cat.' })
  const rated = await answer(learner, 'ada', 'Tom saw')
  await learner.feedback({ user: 'ada', turn: rated.turn, feedback: 'down' })
  const taught = await learner.learn({ user: 'ada', ...story(1) })
  await learner.close()

  const reopened = createLearner({ model, store }) // replays from what was saved
  await reopened.unlearn('ada', taught.turn)
  await reopened.close()

  const history = await readStoredHistory(store, 'ada')
  const decode = (ids: readonly number[] | undefined): string | undefined =>
    ids && model.base.tokenizer!.decode([...ids], { skipSpecialTokens: true })
  expect(history!.expert).toBeUndefined()
  expect(history!.base).toBe(await model.base.identity())
  expect(
    history!.turns.map(({ promptIds, answerIds, signal, replacedIds }) => [
      decode(promptIds),
      decode(answerIds),
      signal?.feedback,
      decode(replacedIds),
    ]),
  ).toEqual([
    ['Lily saw', ' a cat.', undefined, end.text],
    ['Tom saw', rated.end.text, 'down', undefined],
  ])
  expect(await readStoredHistory(store, 'eve')).toBeUndefined()
})
