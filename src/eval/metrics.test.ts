import { describe, expect, it } from 'vitest'
import { metricContract } from './metric.contract.ts'
import type { MetricInput } from './metric.ts'
import { metrics } from './metric-table.ts'
import { findLabel } from './metrics/label-accuracy.ts'
import { computeRougeL } from './metrics/rouge-l.ts'
import { computeTokenF1 } from './metrics/token-f1.ts'

describe.each([...metrics.values()].map((metric) => [metric.name, metric] as const))(
  '%s',
  (_, metric) => {
    metricContract(metric, {
      row: {},
      wanted: '{"name": "f", "arguments": {"a": 1}}',
      loss: { sum: 6, tokens: 4 },
    })
  },
)

const score = async (name: string, judged: Partial<MetricInput>): Promise<number> => {
  const metric = metrics.get(name)!
  return (await metric.score({ row: {}, wanted: '', answer: '', ...judged })).value
}

describe('exact match', () => {
  it('passes over white space at the ends, and nothing else', async () => {
    expect(await score('exact-match', { wanted: 'yes', answer: ' yes\n' })).toBe(1)
    expect(await score('exact-match', { wanted: 'yes', answer: 'Yes' })).toBe(0)
  })
})

describe("SQuAD's F1", () => {
  it.each([
    ['the cat sat', 'A cat, sat.', 1],
    ['cat cat dog', 'cat dog dog', 4 / 6], // each word as often as in the text that has fewer
    ['cat', 'the cat sat on the mat', 2 / 5],
    ['', 'cat', 0],
    ['the', '', 1], // nothing is left of either
    ['don’t', 'don’t', 1],
  ])('of %j for %j', (answer, wanted, expected) =>
    expect(computeTokenF1(answer, wanted)).toBeCloseTo(expected, 12),
  )
})

describe('ROUGE-L', () => {
  it.each([
    // Lin 2004, section 3.1: LCS 3 of 4 and 4 words
    ['police kill the gunman', 'police killed the gunman', 0.75],
    ['the gunman kill police', 'police killed the gunman', 0.5],
    ['', 'a', 0],
  ])('of %j for %j', (answer, wanted, expected) =>
    expect(computeRougeL(answer, wanted)).toBeCloseTo(expected, 12),
  )
})

describe('labels', () => {
  it('are found whatever their case and the punctuation around them, in the first line', () => {
    const labels = ['HUM', 'NUM:count', 'ham']
    expect(findLabel(' hum. ', labels)).toBe('HUM')
    expect(findLabel('"NUM:count"\nbecause it counts', labels)).toBe('NUM:count')
    expect(findLabel('hum or ham', labels)).toBeUndefined()
  })
  it('outside the list are a problem with the nearest one named', () => {
    const problem = metrics.get('label-accuracy')!.findProblem!({
      row: {},
      wanted: 'hamm',
      labels: ['ham', 'spam'],
    })
    expect(problem).toBe('"hamm" is none of the labels ham, spam. Did you mean ham?')
  })
})

describe('JSON', () => {
  it('may have its keys in any order, but lists in theirs, and a list is no map', async () => {
    const wanted = '{"a": [1, 2], "b": null}'
    expect(await score('json-equality', { wanted, answer: '{"b":null,"a":[1,2]}' })).toBe(1)
    expect(await score('json-equality', { wanted, answer: '{"b":null,"a":[2,1]}' })).toBe(0)
    expect(await score('json-equality', { wanted, answer: '{"b":null,"a":{"0":1,"1":2}}' })).toBe(0)
    expect(await score('json-equality', { wanted, answer: 'sure: {}' })).toBe(0)
    expect(await score('json-validity', { answer: '[1]' })).toBe(1)
    expect(await score('json-validity', { answer: '[1' })).toBe(0)
  })
  it('that a row does not hold is reported before anything is written', () => {
    expect(metrics.get('json-equality')!.findProblem!({ row: {}, wanted: 'yes' })).toContain(
      'is not JSON: "yes"',
    )
  })
})

describe('perplexity', () => {
  it('weighs tokens, not rows', async () => {
    const metric = metrics.get('perplexity')!
    expect(
      await metric.score({ row: {}, wanted: '', answer: '', loss: { sum: 3, tokens: 2 } }),
    ).toEqual({ value: 3, weight: 2 })
    expect(metric.transform!(Math.log(7))).toBeCloseTo(7, 12)
  })
})
