// The matcher as a user's own test has it: an expert against bounds on rows.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScoreExpectation, toScore } from '../eval/index.ts'
import { loadModel, type LoadedModel } from './index.ts'

declare module 'vitest' {
  interface Matchers<T> {
    toScore: (expectation: ScoreExpectation) => Promise<T>
  }
}
expect.extend({ toScore })

const rows = ['Lily', 'Tom'].map((name) => ({
  prompt: `Once upon a time, ${name}`,
  completion: ' saw a cat.',
}))

describe('toScore', () => {
  let model: LoadedModel
  beforeAll(async () => {
    model = await loadModel('stories260k')
  })
  afterAll(() => model.dispose())

  it('passes where the figure reaches its bound and not where it does not', async () => {
    const loose = { model, data: rows, metric: 'perplexity', atMost: 1e6 }
    await expect('base').toScore(loose)
    await expect('base').not.toScore({ ...loose, atMost: 1.01 })
  })

  it('reports the score, its interval and the bound', async () => {
    const failing = expect('base').toScore({
      model,
      data: rows,
      metric: 'perplexity',
      atMost: 1.01,
    })
    await expect(failing).rejects.toThrow(
      /^perplexity of base: \d[\d.]* \(95 % interval .* to .*, 2 rows\), expected ≤ 1\.01$/,
    )
  })

  it('refuses an unknown metric, an unknown option and an expert that is not there', async () => {
    const score = { model, data: rows, metric: 'perplexity', atMost: 9 }
    await expect(expect('base').toScore({ ...score, metric: 'f2' })).rejects.toThrow(
      /got the metric f2, expected one of/,
    )
    await expect(expect('base').toScore({ ...score, rows: 3 } as typeof score)).rejects.toThrow(
      /rows/,
    )
    await expect(expect('./nowhere').toScore(score)).rejects.toThrow(
      /got ".\/nowhere", expected an adapter/,
    )
    await expect(expect('base').toScore({ ...score, atMost: undefined })).rejects.toThrow(
      /no bound/,
    )
  })
})
