import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { FormatError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { routerContract } from '../router.contract.ts'
import type { RouteExample, Router, RouterTraining } from '../router.ts'
import { policy } from './policy.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })

/** Prompts of three experts from a grammar, and some of none. */
function drawPrompts(count: number, seed: number): RouteExample[] {
  const draw = random(seed)
  const pick = <T>(items: readonly T[]): T => items[draw.integer(items.length)]!
  const things = ['orders', 'customers', 'invoices', 'parcels', 'visits']
  const makers: readonly [string | undefined, () => string][] = [
    [
      'sql',
      () =>
        `select all ${pick(things)} where the ${pick(['date', 'name', 'price'])} is ${draw.integer(99)}`,
    ],
    [
      'code',
      () =>
        `write a function that ${pick(['sorts', 'filters', 'counts'])} a list of ${pick(things)}`,
    ],
    [
      'music',
      () =>
        `play ${pick(['some', 'the newest', 'an old'])} ${pick(['song', 'album', 'concert'])} by ${pick(['Bach', 'Satie', 'Ravel'])}`,
    ],
    [
      undefined,
      () =>
        `what is the weather in ${pick(['Rome', 'Oslo', 'Quito'])} ${pick(['today', 'tomorrow'])}`,
    ],
  ]
  return Array.from({ length: count }, (_, i) => {
    const [expert, make] = makers[i % 4]!
    return { text: make(), expert, tier: expert === 'music' ? 'small' : 'large' }
  })
}

const experts = ['sql', 'code', 'music'].map((name) => ({ name }))
const training: RouterTraining = {
  experts,
  examples: drawPrompts(240, 1),
  held: drawPrompts(80, 2),
  seed: 5,
}
const small = {
  buckets: 512,
  width: 16,
  hidden: 24,
  inputRank: 8,
  stateRank: 8,
  epochs: 12,
  batchSize: 16,
  learningRate: 0.01,
  threshold: 0.5,
}
const train = async (given: object = {}, of = training): Promise<Router> =>
  policy.train(of, readOptions('Router', Object.assign({}, small, given), policy.fields), {
    backend,
  })
let kept: Promise<Router> | undefined
const trained = (): Promise<Router> => (kept ??= train())

const known: RouteExample[] = [
  { text: 'select all invoices where the price is 12', expert: 'sql' },
  { text: 'write a function that counts a list of visits', expert: 'code' },
  { text: 'play the newest album by Ravel', expert: 'music' },
  { text: 'what is the weather in Oslo today', expert: undefined },
]
routerContract('policy', async () => ({
  router: await trained(),
  known,
  load: (file) => policy.load(file, {}),
}))

describe('the router "policy"', () => {
  it('is right on new prompts, reports the tier, and refuses prompts of no expert', async () => {
    const router = await trained()
    const rows = drawPrompts(200, 9)
    const decided = await Promise.all(rows.map(({ text }) => router.decide({ text })))
    const right = decided.filter(({ expert }, i) => expert === rows[i]!.expert)
    expect(right.length).toBeGreaterThan(190)
    const tiers = decided.filter(
      ({ tier, expert }) => expert && tier === (expert === 'music' ? 'small' : 'large'),
    )
    expect(tiers.length).toBeGreaterThan(140)
    expect(decided[0]!.features).toHaveLength(small.hidden)
  })

  it('is the same for the same seed, and holds its weights in 8 bits', async () => {
    const file = (await train({ epochs: 1 })).save()
    expect(JSON.stringify((await train({ epochs: 1 })).save())).toBe(JSON.stringify(file))
    const { table } = file.state['weights'] as Record<string, { dtype: string }>
    expect(table!.dtype).toBe('i8')
  })

  it('names the words that count', async () => {
    const clues = await (await trained()).explain!({ text: 'please play some song by Bach' })
    const [first] = clues.filter(({ weight }) => weight > 0)
    expect(['play', 'song', 'bach']).toContain(first!.text)
    expect(clues[0]!.expert).toBe('music')
  })

  it('learns from feedback, and keeps what it learned in its file', async () => {
    const router = policy.load((await trained()).save(), {}) as Router
    const request = { text: 'dump the table of parcels' }
    const wrong = await router.decide(request)
    const right = wrong.scores[0]?.expert === 'music' ? 'sql' : 'music'
    for (let i = 0; i < 25; i++) await router.learn!({ request, decision: wrong, right })
    const after = await router.decide(request)
    expect(after.scores[0]!.expert).toBe(right)
    const again = await policy.load(router.save(), {})
    expect((await again.decide(request)).scores).toEqual(after.scores)
    // the policy itself is as it was
    expect((await (await trained()).decide(request)).scores).toEqual(wrong.scores)
    expect(() => router.learn!({ request, decision: after, right: 'musik' })).toThrow(OptionError)
  })

  it('refuses experts without prompts, and files that are not whole', async () => {
    const more = { ...training, experts: [...experts, { name: 'poet' }] }
    await expect(train({}, more)).rejects.toThrow(/no examples of "poet"/)
    const file = (await trained()).save()
    const broken = (change: object) => () =>
      policy.load({ ...file, state: Object.assign({}, file.state, change) }, {})
    expect(broken({ width: 17 })).toThrow(FormatError)
    expect(broken({ width: 17 })).toThrow(/table.*expected \[512, 17\]/)
    expect(broken({ reads: 'first' })).toThrow(FormatError)
    expect(broken({ weights: {} })).toThrow(/U2/)
    expect(() => policy.load({ ...file, experts: file.experts.slice(1) }, {})).toThrow(
      /expert\.weight/,
    )
  })
})
