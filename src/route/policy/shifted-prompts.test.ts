// Feedback on prompts that have moved away from what a policy was trained on: 200 right answers
// bring back at least half of the accuracy that was lost, and 200 shuffled ones bring back none.

import * as ort from 'onnxruntime-node'
import { beforeAll, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import type { RouteExample, Router } from '../router.ts'
import { policy } from '../routers/policy.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })

/** What each expert is asked for: in training, and later. */
const nouns: Readonly<Record<string, readonly [string, string]>> = {
  sql: ['table query rows database columns join', 'ledger aggregate cursor index schema tuples'],
  music: ['song playlist album artist track band', 'opera symphony melody quartet choir remix'],
  weather: [
    'rain forecast temperature snow wind storm',
    'drizzle humidity hail breeze fog thunder',
  ],
  maths: [
    'sum fraction equation percent triangle number',
    'integral matrix prime cosine vertex proof',
  ],
  food: ['recipe bread soup cake salad oven', 'noodles dumpling stew pastry garlic curry'],
  travel: [
    'flight hotel train ticket airport visa',
    'ferry hostel itinerary luggage border cruise',
  ],
}
const experts = Object.keys(nouns).map((name) => ({ name }))

function drawPrompts(count: number, seed: number, isShifted: boolean): RouteExample[] {
  const draw = random(seed)
  const pick = (words: string): string => {
    const list = words.split(' ')
    return list[draw.integer(list.length)]!
  }
  return Array.from({ length: count }, (_, i) => {
    const { name } = experts[i % experts.length]!
    const [before, after] = nouns[name]!
    const noun = (): string => pick(isShifted && draw.uniform() < 0.8 ? after : before)
    const text = isShifted
      ? `could you quickly ${pick('sort check explain fetch')} a ${noun()} or some ${noun()}`
      : `please ${pick('show give find write tell make')} me the ${noun()} and the ${noun()}`
    return { text, expert: name }
  })
}

let trained: Router
const held = { known: drawPrompts(240, 11, false), shifted: drawPrompts(240, 12, true) }
const feedback = random(3).shuffle(drawPrompts(198, 13, true))

beforeAll(async () => {
  const given = { buckets: 1024, width: 24, hidden: 32, inputRank: 16, stateRank: 16, epochs: 10 }
  const regular = { dropout: 0.15, wordDropout: 0.05 }
  const options = Object.assign({ batchSize: 32, learningRate: 0.01, threshold: 0 }, given, regular)
  const examples = drawPrompts(600, 1, false)
  const training = { experts, examples, held: drawPrompts(60, 2, false), seed: 1 }
  trained = await policy.train(training, readOptions('Router', options, policy.fields), { backend })
}, 60_000)

async function measureAccuracy(router: Router, prompts: readonly RouteExample[]): Promise<number> {
  let right = 0
  for (const { text, expert } of prompts)
    if ((await router.decide({ text })).expert === expert) right++
  return right / prompts.length
}

/** The share of what was lost that feedback has brought back. */
async function regain(
  judge: (example: RouteExample, at: number) => { right?: string; reward?: number } | undefined,
): Promise<{ share: number; lost: number; known: number }> {
  const router = await policy.load(trained.save(), {})
  const known = await measureAccuracy(router, held.known)
  const before = await measureAccuracy(router, held.shifted)
  for (const [i, example] of feedback.entries()) {
    const request = { text: example.text }
    const decision = await router.decide(request)
    const own = judge(example, i)
    const told = own ?? { reward: decision.expert === example.expert ? 1 : 0 }
    await router.learn!({ request, decision, ...told })
  }
  const after = await measureAccuracy(router, held.shifted)
  return {
    lost: known - before,
    share: (after - before) / (known - before),
    known: await measureAccuracy(router, held.known),
  }
}

it('brings back at least half of what was lost, and keeps what was known', async () => {
  const { share, lost, known } = await regain(({ expert }) => ({ right: expert! }))
  expect(lost).toBeGreaterThan(0.2)

  expect(share).toBeGreaterThan(0.5)
  expect(known).toBeGreaterThan(0.9)
}, 60_000)

it('brings back a part by thumbs alone', async () => {
  const { share } = await regain(() => undefined)

  expect(share).toBeGreaterThan(0.15)
}, 60_000)

it('brings back nothing where the right experts are shuffled', async () => {
  const shuffled = random(5).shuffle(feedback.map(({ expert }) => expert!))
  const { share } = await regain((_example, i) => ({ right: shuffled[i]! }))

  expect(share).toBeLessThan(0.05)
}, 60_000)
