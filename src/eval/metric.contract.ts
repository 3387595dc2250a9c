// The contract of every metric.

import { expect, it } from 'vitest'
import type { MetricInput, Metric } from './metric.ts'

/** Runs the suite on a metric, given a row that it can judge. */
export function metricContract(metric: Metric, right: Omit<MetricInput, 'answer'>): void {
  const scoreOf = async (answer: string) => metric.score({ ...right, answer })

  it('is named and described for lists', () => {
    expect(metric.name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/)
    expect(metric.about.length).toBeGreaterThan(8)
  })
  it('accepts the row it is given', async () => {
    expect(await metric.findProblem?.(right)).toBeUndefined()
  })
  it('gives the wanted answer the best score that there is, and no answer none better', async () => {
    const values = [(await scoreOf(right.wanted)).value, (await scoreOf('')).value]
    expect(metric.needs === 'answers' ? values : values.map(Number.isFinite)).toEqual(
      metric.needs === 'answers' ? [1, 0] : [true, true],
    )
  })
  it('scores shares with 0 and 1 alone, and weighs rows above 0', async () => {
    for (const answer of [
      right.wanted,
      '',
      'something else',
      '\u0000',
      '{"a": 2}',
      "'; DROP TABLE t; --",
      'x'.repeat(10_000),
    ]) {
      const { value, weight = 1 } = await scoreOf(answer)
      expect(weight).toBeGreaterThan(0)
      expect(value >= 0 && (metric.needs === 'loss' || value <= 1)).toBe(true)
      expect(metric.kind === 'mean' || value === 0 || value === 1).toBe(true)
    }
  })
  it('says the same again', async () => {
    expect(await scoreOf('something else')).toEqual(await scoreOf('something else'))
  })
}
