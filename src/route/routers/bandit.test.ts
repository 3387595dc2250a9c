import { describe, expect, it } from 'vitest'
import { FormatError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import { routerContract } from '../router.contract.ts'
import type { RouteExample, Router, RouterTraining } from '../router.ts'
import { bandit } from './bandit.ts'

const experts = ['sql', 'code', 'music'].map((name) => ({ name }))
const texts: Readonly<Record<string, readonly string[]>> = {
  sql: [
    'select all orders by date',
    'join the tables of orders and parcels',
    'count rows where price is high',
  ],
  code: [
    'write a function that sorts a list',
    'fix this loop in typescript',
    'write a class with a test',
  ],
  music: ['play a song by Bach', 'who wrote this symphony', 'play an album of jazz'],
}
const examples: RouteExample[] = Object.entries(texts).flatMap(([expert, own]) =>
  own.map((text) => ({ text, expert })),
)
const training: RouterTraining = { experts, examples, held: [], seed: 1 }
const train = async (given: object = {}, of = training): Promise<Router> =>
  bandit.train(of, readOptions('Router', given, bandit.fields), {})

routerContract('bandit', async () => ({
  router: await train({ exploration: 0, even: 0 }),
  known: examples,
  load: (file) => bandit.load(file, {}),
}))

describe('the router "bandit"', () => {
  it.each(['linucb', 'thompson'])(
    'learns by %s from rewards alone which expert is right',
    async (method) => {
      const router = await train({ method }, { ...training, examples: [] })
      const draw = random(2)
      const found = [0, 0]
      for (let turn = 0; turn < 600; turn++) {
        const { text, expert } = examples[draw.integer(examples.length)]!
        const request = { text }
        const decision = await router.decide(request)
        const isRight = decision.expert === expert
        if (isRight) found[turn < 300 ? 0 : 1]!++
        await router.learn!({ request, decision, reward: isRight ? 1 : 0 })
      }
      expect(found[1]!).toBeGreaterThan(0.9 * 300)
      expect(found[1]!).toBeGreaterThan(found[0]!)
    },
  )

  it('prefers what is in memory, unless another is better by more than loading costs', async () => {
    const text = 'play a song by Bach'
    const decide = async (loadCost: number, resident?: string[]) =>
      (await (await train({ exploration: 0, even: 0, loadCost })).decide({ text, resident })).expert
    expect(await decide(0.9, ['sql', 'code'])).not.toBe('music')
    expect(await decide(0.01, ['sql', 'code'])).toBe('music')
    expect(await decide(0.9, ['sql', 'music'])).toBe('music')
    expect(await decide(0.9)).toBe('music')
    const own = await train({ exploration: 0, even: 0, loadCost: 0, loadCosts: { music: 0.9 } })
    const decision = await own.decide({ text, resident: [] })
    expect(decision.expert).not.toBe('music')
    expect(decision.scores[0]!.expert).toBe('music')
  })

  it('reports the propensity of its choice, and chooses the base if no expert is good enough', async () => {
    const router = await train({ even: 0.3, exploration: 0 })
    const seen = new Set<number>()
    for (let i = 0; i < 60; i++)
      seen.add((await router.decide({ text: 'play a song by Bach' })).propensity!)
    expect([...seen].toSorted((a, b) => a - b).map((share) => share.toFixed(3))).toEqual([
      '0.100',
      '0.800',
    ])
    const strict = await train({ threshold: 0.99 })
    const decision = await strict.decide({ text: 'what is this' })
    expect(decision.expert).toBeUndefined()
    expect(decision.reason).toMatch(/0\.99 are needed/)
  })

  it('takes a new expert', async () => {
    const router = await train({ even: 0 })
    await router.add!({ name: 'poet' })
    for (let i = 0; i < 5; i++)
      await router.learn!({
        request: { text: 'write a sonnet' },
        decision: await router.decide({ text: 'write a sonnet' }),
        right: 'poet',
      })
    expect((await router.decide({ text: 'write a sonnet' })).expert).toBe('poet')
    const again = await bandit.load(router.save(), {})
    expect((await again.decide({ text: 'write a sonnet' })).expert).toBe('poet')
    expect(() => router.add!({ name: 'poet' })).toThrow(/two experts/)
  })

  it('refuses unknown names, files of another size, and an embedder that is not there', async () => {
    await expect(train({ loadCosts: { musik: 1 } })).rejects.toThrow(OptionError)
    const router = await train()
    const decision = await router.decide({ text: 'x' })
    await expect(
      router.learn!({ request: { text: 'x' }, decision, right: 'musik' }),
    ).rejects.toThrow(/musik/)
    const file = router.save()
    const load = (changed: object) => () => bandit.load(Object.assign({}, file, changed), {})
    expect(load({ experts: file.experts.slice(1) })).toThrow(FormatError)
    expect(load({ state: Object.assign({}, file.state, { method: 'ucb' }) })).toThrow(FormatError)
    expect(load({ embedder: { sha256: 'abc', settings: {} } })).toThrow(/none is given/)
  })
})
