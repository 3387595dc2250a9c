// A learner whose users start from an expert, and answers that a program asks of an engine itself.

import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Adapter } from '../adapters/adapter.ts'
import { MismatchError } from '../base/errors.ts'
import { createEngine } from '../runtime/index.ts'
import { readAnswer } from '../runtime/engine/generate.ts'
import { createExpert } from '../../test/support/engine.ts'
import { answer, story, storiesModel, type TestModel } from '../../test/support/learner.ts'
import { createLearner } from './learner.ts'
import { createMemoryStore } from './store/memory-store.ts'

let model: TestModel
let expert: Adapter
beforeAll(async () => {
  model = await storiesModel()
  expert = createExpert(model.base, 'lora', { rank: 8, targets: 'all-linear', start: 'random' }, 7)
})
afterAll(() => model.dispose())

const prompt = 'Once upon a time'

it('answers as the expert does before anything is learned, and continues from there', async () => {
  const learner = createLearner({ model, expert })
  const alone = await model.complete(prompt, { adapter: expert, maxTokens: 12 })
  expect(alone).not.toBe(await model.complete(prompt, { maxTokens: 12 }))
  expect((await answer(learner, 'ada', prompt)).end.text).toBe(alone)
  const taught = { user: 'ada', ...story(0) }
  const before = await learner.learn({ ...taught, wantsFrozenLosses: true })
  expect(before.frozenLosses).toEqual(before.losses) // the expert is what was frozen
  for (let i = 0; i < 4; i++) await learner.learn(taught)
  expect(await learner.loss(taught)).toBeLessThan(before.losses[0]!)
})

it('saves users without the expert, and refuses them under another one', async () => {
  const store = createMemoryStore()
  const options = { model, expert, store, onProblem: () => undefined }
  const learner = createLearner(options)
  await learner.learn({ user: 'ada', ...story(0) })
  const loss = await learner.loss({ user: 'ada', ...story(1) })
  await learner.close()
  const [item] = await store.list('ada')
  const expertBytes = [...expert.tensors.values()].reduce(
    (sum, { data }) => sum + data.byteLength,
    0,
  )
  expect(item!.sizeBytes).toBeLessThan(expertBytes / 2)
  expect(await createLearner(options).loss({ user: 'ada', ...story(1) })).toBe(loss)
  const other = createLearner({ ...options, expert: undefined })
  await expect(other.loss({ user: 'ada', ...story(1) })).rejects.toThrow(MismatchError)
})

it('lets a program ask an engine of its own for users in one batch, and rate the answers', async () => {
  const [learner, reference] = [createLearner({ model }), createLearner({ model })]
  for (const each of [learner, reference])
    for (let i = 0; i < 3; i++) await each.learn({ user: 'ada', ...story(i) })
  const engine = createEngine({ model })
  const ids = model.encode(prompt)
  const ask = async (user: string): Promise<{ text: string; turn: number }> => {
    const started = await learner.startAnswer(user, ids)
    const generation = await readAnswer(engine, { ...started.request, prompt: ids, maxTokens: 12 })
    return { text: generation.text, turn: await started.finish(generation) }
  }
  const answers = await Promise.all(['ada', 'eve'].map(ask))
  const users = ['ada', 'eve']
  for (const [i, user] of users.entries()) {
    const expected = await answer(reference, user, prompt)
    expect(answers[i]).toEqual({ text: expected.end.text, turn: expected.turn })
    const signal = { user, turn: expected.turn, quality: 0.9 }
    const [own, other] = [await learner.feedback(signal), await reference.feedback(signal)]
    expect(own.reward).toBe(other.reward)
    expect(own.surprise).toBeCloseTo(other.surprise, 5)
  }
  await engine.dispose()
})

it('learns what an answer should have been, and shows the turns that are kept', async () => {
  const [learner, reference] = [createLearner({ model }), createLearner({ model })]
  const { turn, end } = await answer(learner, 'ada', prompt)
  const completion = ' there was a zebra.'
  expect(await learner.turns('ada')).toMatchObject([
    { turn, state: 'open', promptIds: model.encode(prompt), answerIds: end.ids },
  ])
  const corrected = await learner.correct({ user: 'ada', turn, completion })
  const taught = await reference.learn({ user: 'ada', prompt, completion })
  expect([corrected.turn, corrected.losses]).toEqual([turn, taught.losses])
  expect((await learner.turns('ada')).map(({ state }) => state)).toEqual(['learned'])
  const question = { user: 'ada', prompt, completion }
  expect(await learner.loss(question)).toBe(await reference.loss(question))
  await expect(learner.correct({ user: 'ada', turn, completion })).rejects.toThrow(/is not kept/)
  await learner.unlearn('ada', turn)
  expect(await learner.turns('ada')).toEqual([])
})

/** The expert with a chat template of its own, which the base has not. */
function withTemplate(adapter: Adapter): Adapter {
  const template = "{% for m in messages %}Ask: {{ m['content'] }}\n{% endfor %}Tell:"
  return {
    ...adapter,
    text: { files: new Map([['chat_template.jinja', new TextEncoder().encode(template)]]) },
  }
}
const asked = [{ role: 'user', content: 'the dog' }]

it('encodes what is learned and scored as the expert reads it', async () => {
  const own = withTemplate(expert)
  const learner = createLearner({ model, expert: own, memory: false })
  const taught = { user: 'ada', prompt: asked, completion: ' a dog ran' }
  const tokenizer = model.base.tokenizer!
  const promptIds = tokenizer.encode('Ask: the dog\nTell:')
  const ids = [...promptIds, ...tokenizer.encode(taught.completion), tokenizer.eosId!]
  const labels = ids.map((id, i) => (i < promptIds.length ? -100 : id))
  const expected = await model.loss([ids], [labels], { adapter: expert })
  expect(await learner.loss(taught)).toBeCloseTo(expected, 3)
  const { losses } = await learner.learn(taught)
  expect(losses).toHaveLength(ids.length - promptIds.length)
  expect(losses.reduce((sum, loss) => sum + loss, 0) / losses.length).toBeCloseTo(expected, 3)
  // the base has no template for messages
  const plain = createLearner({ model, expert, memory: false })
  await expect(plain.loss(taught)).rejects.toThrow('chat template')
})

it('continues reading so with tiers on layers, after a consolidation, and from a store', async () => {
  const own = withTemplate(expert)
  const store = createMemoryStore()
  const options = {
    model,
    expert: own,
    store,
    memory: false,
    fast: { where: { modules: ['q_proj'] } },
    slow: { schedule: 'by-hand', epochs: 1 },
    onProblem: () => undefined,
  } as const
  const learner = createLearner(options)
  const ask = async (one: typeof learner): Promise<string> => {
    for await (const event of one.generate(asked, { user: 'ada', maxTokens: 6 }))
      if (event.type === 'generation-end') return event.text
    return ''
  }
  for (let i = 0; i < 3; i++)
    await learner.learn({ user: 'ada', prompt: asked, completion: ` a dog ran ${i}` })
  expect(await ask(learner)).not.toBe('')
  const { kept } = await learner.consolidate('ada', { bound: Infinity, least: -1e9 })
  expect(kept).toBe(true)
  const { adapter } = (await learner.versions('ada')).at(-1)!
  expect(adapter!.text).toEqual(own.text)
  const after = await ask(learner)
  await learner.close()
  const opened = createLearner(options)
  expect(await ask(opened)).toBe(after)
  expect((await opened.versions('ada')).at(-1)!.adapter!.text).toEqual(own.text)
  await opened.close()
})
