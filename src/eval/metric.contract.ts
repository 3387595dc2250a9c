// What every metric must hold to.

import { expect, it } from 'vitest'
import type { Judged, Metric } from './metric.ts'

/** Runs the suite on a metric, given a row that it can judge. */
export function metricContract(metric: Metric, right: Omit<Judged, 'answer'>): void {
  const scoreOf = async (answer: string) => metric.score({ ...right, answer })

  it('is named and described for lists', () => {
    expect(metric.name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/)
    expect(metric.about.length).toBeGreaterThan(8)
  })
  it('accepts the row it is given', async () => {
    expect(await metric.problem?.(right)).toBeUndefined()
  })
  it('gives the wanted answer the best score that there is, and no answer none better', async () => {
    const { value } = await scoreOf(right.wanted)
    expect(Number.isFinite(value)).toBe(true)
    if (metric.needs === 'answers') {
      expect(value).toBe(1)
      expect((await scoreOf('')).value).toBe(0)
    }
  })
  it('scores shares with 0 and 1 alone, and weighs rows above 0', async () => {
    for (const answer of [right.wanted, '', 'something else', '\u0000', '{"a": 2}', "'; DROP TABLE t; --", 'x'.repeat(10_000)]) {
      const { value, weight = 1 } = await scoreOf(answer)
      expect(weight).toBeGreaterThan(0)
      expect(value >= 0 && (metric.needs === 'loss' || value <= 1)).toBe(true)
      if (metric.kind === 'share') expect([0, 1]).toContain(value)
    }
  })
  it('says the same again', async () => {
    expect(await scoreOf('something else')).toEqual(await scoreOf('something else'))
  })
}
