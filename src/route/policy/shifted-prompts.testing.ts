// Prompts that move away from what a policy was trained on, and what feedback brings back.

import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import type { Backend } from '../../compute/backend.ts'
import type { RouteExample, Router } from '../router.ts'
import { policy } from '../routers/policy.ts'

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
export const shiftedExperts = Object.keys(nouns).map((name) => ({ name }))

/** A half of each expert's words is met in training; later prompts have the other half. */
export function drawPrompts(count: number, seed: number, isShifted: boolean): RouteExample[] {
  const draw = random(seed)
  const pick = (words: string): string => {
    const list = words.split(' ')
    return list[draw.integer(list.length)]!
  }
  return Array.from({ length: count }, (_, i) => {
    const { name } = shiftedExperts[i % shiftedExperts.length]!
    const [before, after] = nouns[name]!
    const noun = (): string => pick(isShifted && draw.uniform() < 0.8 ? after : before)
    const text = isShifted
      ? `could you quickly ${pick('sort check explain fetch')} a ${noun()} or some ${noun()}`
      : `please ${pick('show give find write tell make')} me the ${noun()} and the ${noun()}`
    return { text, expert: name }
  })
}

/** A policy that has met one half of the words. */
export async function trainShifted(seed: number, backend: Backend): Promise<Router> {
  const given = { buckets: 1024, width: 24, hidden: 32, inputRank: 16, stateRank: 16, epochs: 10 }
  const regular = { dropout: 0.15, wordDropout: 0.05 }
  const options = Object.assign({ batchSize: 32, learningRate: 0.01, threshold: 0 }, given, regular)
  const training = {
    experts: shiftedExperts,
    examples: drawPrompts(600, seed, false),
    held: drawPrompts(60, seed + 1, false),
    seed,
  }
  return policy.train(training, readOptions('Router', options, policy.fields), { backend })
}

export async function measureAccuracy(
  router: Router,
  prompts: readonly RouteExample[],
): Promise<number> {
  let right = 0
  for (const { text, expert } of prompts)
    if ((await router.decide({ text })).expert === expert) right++
  return right / prompts.length
}

/** 198 prompts of the other half of the words. */
export const drawFeedback = (seed: number): RouteExample[] =>
  random(seed + 2).shuffle(drawPrompts(198, seed + 12, true))

export interface Regained {
  /** Of what was lost, 0–1. */
  readonly share: number
  readonly lost: number
  /** Accuracy on the prompts of the training, afterwards. */
  readonly known: number
}

/** `judge`: what is told of a prompt; undefined: whether the choice was right. */
export async function regain(
  trained: Router,
  seed: number,
  judge: (example: RouteExample, at: number) => { right?: string; reward?: number } | undefined,
): Promise<Regained> {
  const held = {
    known: drawPrompts(240, seed + 10, false),
    shifted: drawPrompts(240, seed + 11, true),
  }
  const router = await policy.load(trained.save(), {})
  const known = await measureAccuracy(router, held.known)
  const before = await measureAccuracy(router, held.shifted)
  for (const [i, example] of drawFeedback(seed).entries()) {
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

/** With the right experts. */
export const regainByRight = (trained: Router, seed: number): Promise<Regained> =>
  regain(trained, seed, ({ expert }) => ({ right: expert! }))

/** With the right experts of other prompts. */
export function regainByShuffled(trained: Router, seed: number): Promise<Regained> {
  const shuffled = random(seed + 4).shuffle(drawFeedback(seed).map(({ expert }) => expert!))
  return regain(trained, seed, (_example, i) => ({ right: shuffled[i]! }))
}
