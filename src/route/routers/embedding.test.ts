import { describe, expect, it } from 'vitest'
import { DataError, FormatError, OptionError } from '../../base/errors.ts'
import { listDefaults } from '../../base/schema.ts'
import type { Router } from '../router.ts'
import { routerContract } from '../router.contract.ts'
import { embedding } from './embedding.ts'
import { createExamples, createTraining, createWordEmbedder } from './testing.ts'

const embedder = createWordEmbedder()
const train = async (options: object = {}, training = createTraining()): Promise<Router> =>
  embedding.train(training, { ...listDefaults(embedding.fields), ...options }, { embedder })

for (const head of ['linear', 'centroid', 'nearest'])
  routerContract(`embedding, ${head}`, async () => ({
    router: await train({ head }),
    known: createExamples(2, 9),
    load: (file) => embedding.load(file, { embedder }),
  }))

describe('an embedding router', () => {
  it('is nearly always right on new prompts, and reports what they are like', async () => {
    const router = await train()
    const tests = createExamples(50, 7)
    const decisions = await Promise.all(tests.map(({ text }) => router.decide({ text })))
    const right = decisions.filter(({ expert }, i) => expert === tests[i]!.expert)
    expect(right.length / tests.length).toBeGreaterThan(0.9)
    expect(decisions[0]!.reason).toMatch(/it is like "please /)
    expect(decisions[0]!.features).toHaveLength(embedder.width)
  })
  it('gives the base where no expert is near, and reports that none is sure enough', async () => {
    const router = await train()
    const decision = await router.decide({ text: 'quel est le sens profond de cette vie étrange' })
    expect(decision.expert).toBeUndefined()
    expect(decision.reason).toMatch(/needed|base/)
  })
  it('gives the base for an empty prompt and for one that is stuffed with a word', async () => {
    const router = await train()
    expect((await router.decide({ text: '' })).reason).toMatch(/the prompt is empty/)
    const { expert, reason } = await router.decide({ text: `${'table '.repeat(100)} query` })
    expect([expert, reason]).toEqual([undefined, expect.stringMatching(/"table", fills most/)])
  })
  it('explains with examples and with the words without which it is less sure', async () => {
    const clues = await (await train()).explain!({ text: 'please show me the playlist' })
    expect(clues.some(({ kind, expert }) => kind === 'example' && expert === 'music')).toBe(true)
    const terms = clues.filter(({ kind }) => kind === 'term')
    expect(terms[0]).toMatchObject({ text: 'playlist', expert: 'music' })
  })
  it('takes an expert more by its examples, without training', async () => {
    const router = await train()
    const examples = ['bake the bread', 'bake the cake', 'boil the soup', 'fry the egg']
    await router.add!({ name: 'kitchen', examples })
    expect(router.experts.at(-1)).toBe('kitchen')
    const decision = await router.decide({ text: 'boil the egg' })
    expect(decision.scores[0]!.expert).toBe('kitchen')
    await expect(async () => router.add!({ name: 'kitchen', examples })).rejects.toThrow(
      OptionError,
    )
    await expect(async () => router.add!({ name: 'bare' })).rejects.toThrow(/no examples/)
  })
  it('learns from prompts that are of no expert', async () => {
    const strange = Array.from({ length: 20 }, (_, i) => ({
      text: `please tell me the joke and the story ${i}`,
      expert: undefined,
    }))
    const training = createTraining()
    const taught = await train({}, { ...training, examples: [...training.examples, ...strange] })
    const decision = await taught.decide({ text: 'please tell me the story and the joke' })
    expect(decision.expert).toBeUndefined()
  })
  it('keeps the class for none when it is written, read, and given another expert', async () => {
    const strange = Array.from({ length: 30 }, (_, i) => ({
      text: `please tell me the joke and the story ${i}`,
      expert: undefined,
    }))
    const training = createTraining()
    const taught = await train({}, { ...training, examples: [...training.examples, ...strange] })
    const file = taught.save()
    expect(file.state['none']).toBe(4)
    const again = await embedding.load(JSON.parse(JSON.stringify(file)), { embedder })
    await again.add!({ name: 'kitchen', examples: ['bake the bread', 'boil the soup'] })
    for (const router of [taught, again]) {
      const joke = await router.decide({ text: 'please tell me the joke and the story' })
      expect(joke.expert).toBeUndefined()
      expect(joke.confidence).toBeLessThan(0.5)
      expect((await router.decide({ text: 'show me the album and the song' })).expert).toBe('music')
    }
    expect((await again.decide({ text: 'boil the soup' })).scores[0]!.expert).toBe('kitchen')
    const wrong = { ...file, state: { ...file.state, none: 9 } }
    expect(() => embedding.load(wrong, { embedder })).toThrow(/state\.none: got 9/)
  })
  it('is refused by another model, other layers and without an embedder', async () => {
    const file = (await train()).save()
    const other = createWordEmbedder('b'.repeat(64))
    expect(() => embedding.load(file, { embedder: other })).toThrow(FormatError)
    expect(() => embedding.load(file, { embedder: other })).toThrow(/hash aaaaaaaaaaaa…, got one/)
    const layers = { ...createWordEmbedder(), settings: { words: 32 } }
    expect(() => embedding.load(file, { embedder: layers })).toThrow(/"words":64.*"words":32/)
    expect(() => embedding.load(file, {})).toThrow(/needs an embedder/)
    const broken = { ...file, state: { ...file.state, headKind: 'x' } }
    expect(() => embedding.load(broken, { embedder })).toThrow(/state\.headKind/)
  })
  it('refuses examples of an unknown expert, and experts without examples', async () => {
    const training = createTraining()
    const misspelt = [...training.examples, { text: 'a', expert: 'sqll' }]
    await expect(train({}, { ...training, examples: misspelt })).rejects.toThrow(DataError)
    await expect(train({}, { ...training, examples: misspelt })).rejects.toThrow(/"sql"\?/)
    const more = { ...training, experts: [...training.experts, { name: 'poems' }] }
    await expect(train({}, more)).rejects.toThrow(/no examples of "poems"/)
    const shown = {
      ...training,
      experts: [...training.experts, { name: 'p', examples: ['a ode'] }],
    }
    expect((await train({}, shown)).experts).toHaveLength(5)
  })
})
