// The contract of every router.

import { describe, expect, it } from 'vitest'
import { checkRouterFile, type RouterFile } from './router-file.ts'
import type { RouteDecision, RouteExample, Router } from './router.ts'

export interface RouterCase {
  readonly router: Router
  /** Prompts that it must decide rightly. */
  readonly known: readonly RouteExample[]
  load(file: RouterFile): Promise<Router> | Router
}

/** A decision without what may differ in the last digit. */
const roundDecision = ({ expert, mixture, confidence, scores }: RouteDecision) => ({
  expert,
  mixture,
  confidence: confidence.toFixed(4),
  scores: scores.map(({ expert: name, score }) => [name, score.toFixed(4)]),
})

const odd: readonly [string, string][] = [
  ['an empty prompt', ''],
  ['spaces alone', ' \n\t '],
  ['a null character', '\u0000\u0007'],
  ['half a surrogate pair', 'a\ud800b'],
  ['Chinese', '请把这句话翻译成英文，谢谢。'],
  ['Arabic', 'ما هي عاصمة مصر؟'],
  ['emoji', '🧑‍🚒🔥🚒'],
  ['one word a thousand times', 'select '.repeat(1000)],
]

function checkDecision(decision: RouteDecision, router: Router): void {
  const { expert, mixture, confidence, scores, reason } = decision
  for (const name of [
    expert,
    ...scores.map((one) => one.expert),
    ...(mixture ?? []).map((part) => part.name),
  ])
    expect(name === undefined || router.experts.includes(name), `expert ${name}`).toBe(true)
  expect(confidence).toBeGreaterThanOrEqual(0)
  expect(confidence).toBeLessThanOrEqual(1)
  expect(scores.every(({ score }) => score >= 0 && score <= 1.000001)).toBe(true)
  const order = scores.map(({ score }) => score)
  expect(order).toEqual(order.toSorted((a, b) => b - a))
  expect(reason.length).toBeGreaterThan(8)
  expect(reason).not.toMatch(/\p{Cc}/u)
  expect(reason.length).toBeLessThan(500)
  const { propensity = 1 } = decision
  expect(propensity > 0 && propensity <= 1).toBe(true)
}

/** Runs the suite on one router. */
export function routerContract(name: string, open: () => Promise<RouterCase> | RouterCase): void {
  describe(`the router "${name}"`, () => {
    it('decides the prompts it knows rightly', async () => {
      const { router, known } = await open()
      expect(known.length).toBeGreaterThan(0)
      for (const { text, expert } of known) {
        const decision = await router.decide({ text })
        checkDecision(decision, router)
        expect([text, decision.expert]).toEqual([text, expert])
      }
    })
    it.each(odd)('takes %s', async (_what, text) => {
      const { router } = await open()
      checkDecision(await router.decide({ text }), router)
    })
    it('takes a million characters in less than two seconds', async () => {
      const { router } = await open()
      const text = Array.from({ length: 125_000 }, (_, i) => `w${i % 97} abc`)
        .join(' ')
        .slice(0, 1e6)
      const start = performance.now()
      checkDecision(await router.decide({ text }), router)
      expect(performance.now() - start).toBeLessThan(2000)
    })
    it('decides alike after it was written and read', async () => {
      const { router, known, load } = await open()
      const text = JSON.stringify(router.save())
      const file: unknown = JSON.parse(text)
      checkRouterFile(file, 'router.json')
      const again = await load(file)
      expect([again.kind, again.experts]).toEqual([router.kind, router.experts])
      for (const { text: prompt } of known)
        expect(roundDecision(await again.decide({ text: prompt }))).toEqual(
          roundDecision(await router.decide({ text: prompt })),
        )
      expect(JSON.stringify(again.save())).toBe(text)
    })
    it('ends with the reason of an aborted signal', async () => {
      const { router } = await open()
      const signal = AbortSignal.abort(new Error('left'))
      await expect((async () => router.decide({ text: 'Hello' }, signal))()).rejects.toThrow('left')
    })
    it('reports what spoke for an expert, the strongest first', async () => {
      const { router, known } = await open()
      if (!router.explain) return
      const clues = await router.explain({ text: known[0]!.text })
      expect(clues.length).toBeGreaterThan(0)
      const weights = clues.map(({ weight }) => Math.abs(weight))
      expect(weights).toEqual(weights.toSorted((a, b) => b - a))
      for (const { expert } of clues)
        expect(expert === undefined || router.experts.includes(expert)).toBe(true)
      expect(await router.explain({ text: '' })).toBeInstanceOf(Array)
    })
  })
}
