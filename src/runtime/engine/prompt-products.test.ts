// Prompts read with products in 8 bits: how far off they are, and what stays as it was.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine, type EngineOptions, type EngineRequest, type Model } from '../index.ts'
import { createExperts, createPrompt, openStories } from '../../../test/support/engine.ts'
import { readAnswer } from './generate.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>
beforeAll(async () => {
  model = await openStories('q4')
  experts = await createExperts(model)
})
afterAll(() => model.dispose())

const prompt = createPrompt(200)

async function answer(options: EngineOptions, ...requests: EngineRequest[]) {
  const engine = createEngine({ model, ...options })
  try {
    const answers = []
    for (const request of requests) answers.push(await readAnswer(engine, request))
    return answers
  } finally {
    await engine.dispose()
  }
}

async function score(options: EngineOptions, more: Partial<EngineRequest> = {}) {
  const request = { prompt, maxTokens: 0, promptLogprobs: 0, ...more }
  const [scored] = await answer(options, request)
  return scored!.promptLogprobs!.flatMap((token) => (token ? [token.logprob] : []))
}

const int8 = { promptProducts: 'int8' } as const
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
const measureGap = (a: readonly number[], b: readonly number[]): number =>
  Math.sqrt(mean(a.map((value, i) => (value - b[i]!) ** 2)))

describe('products of prompts in 8 bits', () => {
  it('are off by no more than a few hundredths of a nat', async () => {
    const [exact, same, rounded] = await Promise.all([
      score({}, { exact: true }),
      score({}),
      score(int8),
    ])
    expect(measureGap(same!, exact!)).toBeLessThan(0.1)
    expect(measureGap(rounded!, exact!)).toBeLessThan(0.2)
    expect(rounded).not.toEqual(same)
    expect(Math.abs(mean(rounded!) - mean(exact!))).toBeLessThan(0.03)
  })

  it('leave exact requests alone', async () => {
    expect(await score(int8, { exact: true })).toEqual(await score({}, { exact: true }))
  })

  it.each(['base', 'first', 'ia3', 'dora'])(
    'give a cached prompt the numbers of a cold one: %s',
    async (name) => {
      const request = { prompt, maxTokens: 6, logprobs: 2, adapter: experts[name] } as EngineRequest
      const [cold, warm] = await answer(int8, request, request)
      expect(warm!.cachedTokens).toBeGreaterThan(100)
      expect(warm!.tokens![0]).toEqual(cold!.tokens![0])
      expect(warm!.ids).toEqual(cold!.ids)
    },
  )

  it('are refused under another name', () => {
    expect(() => createEngine({ model, promptProducts: 'int4' as never })).toThrow(/promptProducts/)
  })
})
