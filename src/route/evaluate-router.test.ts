import { expect, it } from 'vitest'
import { evaluateRouter, judgeDecisions } from './evaluate-router.ts'
import type { RouteDecision } from './router.ts'
import { fixed } from './routers/fixed.ts'

const decide = (expert: string | undefined, best: string, confidence: number): RouteDecision => ({
  expert,
  confidence,
  scores: [{ expert: best, score: confidence }],
  reason: 'a reason',
})

it('rates decisions: accuracy, refusals, recall out of scope, confusions', () => {
  const examples = ['a', 'a', 'b', 'b', undefined, undefined].map((expert) => ({
    text: 'x',
    expert,
  }))
  const decisions = [
    decide('a', 'a', 0.9),
    decide(undefined, 'a', 0.4),
    decide('a', 'a', 0.8),
    decide('b', 'b', 0.9),
    decide(undefined, 'a', 0.2),
    decide('b', 'b', 0.7),
  ]
  const rated = judgeDecisions(examples, decisions)
  expect(rated).toMatchObject({
    rows: 4,
    outOfScopeRows: 2,
    accuracy: 0.75,
    answeredRight: 0.5,
    refused: 0.25,
    outOfScopeRecall: 0.5,
    confusions: [{ right: 'b', got: 'a', rows: 1 }],
  })
  expect(rated.coverage[0]).toEqual({
    threshold: 0.4,
    coverage: 1,
    errors: 0.25,
    outOfScopeRecall: 0.5,
  })
})

it('runs a router, and gives the time of a decision', async () => {
  const training = { experts: [{ name: 'a' }], examples: [], held: [], seed: 0 }
  const router = await fixed.train(training, { expert: 'a' }, {})
  let time = 0
  const result = await evaluateRouter(router, [{ text: 'x', expert: 'a' }], { now: () => time++ })
  expect(result).toMatchObject({ accuracy: 1, medianMs: 1, p99Ms: 1, outOfScopeRecall: undefined })
})
