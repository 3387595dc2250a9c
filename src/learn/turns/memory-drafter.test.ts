// The memory as a drafter: it proposes a learned answer's continuation, which needs fewer calls of
// the model for the same answer.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine } from '../../runtime/index.ts'
import { describeDrafter } from '../../runtime/engine/drafts/drafter.contract.ts'
import { readAnswer } from '../../runtime/engine/generate.ts'
import { random } from '../../base/random.ts'
import { storiesModel, type TestModel } from '../../../test/support/learner.ts'
import { createLearner } from '../learner.ts'
import { MemoryTier } from '../tiers/memory-tier.ts'
import { createMemoryDrafter } from './memory-drafter.ts'
import type { ServedAnswer } from './tier-stage.ts'

const width = 16
const { normal } = random(3)
const keys = Array.from({ length: 12 }, () => Float32Array.from({ length: width }, normal))

/** An answer whose last token was chosen in the state of entry `at`. */
function createAnswer(at: number): ServedAnswer {
  const memory = new MemoryTier(width)
  keys.forEach((key, i) => memory.add(key, i % 7))
  const retrieval = memory.retrieve(keys[at]!)
  return { tiers: { memory }, states: [{ observation: { retrieval } }] } as unknown as ServedAnswer
}

describe('a memory', () => {
  describeDrafter(() => createMemoryDrafter(createAnswer(3)))

  it('continues behind the nearest pair of the token that was chosen', () => {
    const { propose } = createMemoryDrafter(createAnswer(3))
    expect(propose([9, 3], 4)).toEqual([4, 5, 6, 0])
    expect(propose([9, 3], 1)).toEqual([4])
  })
  it('proposes nothing where that token is not what it knows, and stops at its end', () => {
    expect(createMemoryDrafter(createAnswer(3)).propose([9, 100], 4)).toEqual([])
    expect(createMemoryDrafter(createAnswer(10)).propose([9, 3], 4)).toEqual([4])
    const { tiers } = createAnswer(3)
    expect(createMemoryDrafter({ tiers, states: [] }).propose([3], 4)).toEqual([])
  })
})

describe('an answer under tiers', () => {
  let model: TestModel
  beforeAll(async () => {
    model = await storiesModel()
  })
  afterAll(() => model.dispose())

  it('that was learned takes fewer calls, and is the same', async () => {
    const learner = createLearner({ model })
    const prompt = 'Once upon a time'
    const completion = ' zebra dances Monday green seven lamp under river cloud piano wolf sugar.'
    for (let i = 0; i < 6; i++) await learner.learn({ user: 'ada', prompt, completion })
    const ids = model.encode(prompt)
    const ask = async (speculate: boolean) => {
      const engine = createEngine({ model })
      const { request } = await learner.startAnswer('ada', ids)
      const one = { ...request, prompt: ids, maxTokens: 32, speculate }
      const { text } = await readAnswer(engine, one)
      const { steps, acceptedTokens } = engine.stats()
      await engine.dispose()
      return { text, steps, acceptedTokens }
    }
    const [plain, ahead] = [await ask(false), await ask(true)]
    expect(plain.text).toContain('zebra dances')
    expect(ahead.text).toBe(plain.text)
    expect(ahead.acceptedTokens).toBeGreaterThan(5)
    expect(ahead.steps).toBeLessThan(plain.steps * 0.75)
    await learner.close()
  })
})
