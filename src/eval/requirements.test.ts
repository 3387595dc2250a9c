// Bounds on figures: what is read from text, what is met, and the JUnit report.
import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import type { Evaluation } from './evaluate.ts'
import {
  checkRequirements,
  describeCheck,
  formatJUnit,
  parseRequirements,
  type CheckedRequirement,
} from './requirements.ts'

const known = ['exact-match', 'perplexity']

const evaluation = {
  rows: 40,
  metricResults: [
    {
      metric: 'exact-match',
      better: 'higher',
      results: [
        { candidate: 'base', value: 0.1, low: 0.05, high: 0.2, rows: 40 },
        { candidate: 'a<b>"&', value: 0.75, low: 0.6, high: 0.86, rows: 40 },
      ],
    },
    {
      metric: 'perplexity',
      better: 'lower',
      results: [{ candidate: 'coder', value: NaN, low: NaN, high: NaN, rows: 40 }],
    },
  ],
  losses: [],
  answers: [],
} as unknown as Evaluation

describe('parseRequirements', () => {
  it('reads bounds in both directions', () => {
    expect(parseRequirements('exact-match>=0.8, perplexity <= 5', known)).toEqual([
      { metric: 'exact-match', atLeast: 0.8 },
      { metric: 'perplexity', atMost: 5 },
    ])
  })

  it.each([
    ['exact-match', /got "exact-match", expected a metric with a bound/],
    ['exact-match=0.8', /expected a metric with a bound/],
    ['exact-match>=', /expected a metric with a bound/],
    ['exact-match>=0.8x', /expected a metric with a bound/],
    ['exact-match>=Infinity', /expected a metric with a bound/],
    ['exact-mach>=0.8', /got the metric exact-mach.*Did you mean exact-match\?/],
    ['exact-match>=0.8,', /got ""/],
  ])('refuses %j', (text, message) => {
    expect(() => parseRequirements(text, known)).toThrow(OptionError)
    expect(() => parseRequirements(text, known)).toThrow(message)
  })
})

describe('checkRequirements', () => {
  const check = (atLeast: number): CheckedRequirement =>
    checkRequirements(evaluation, [{ metric: 'exact-match', atLeast }])[0]!

  it("compares the last candidate's figure, its bound included", () => {
    expect(check(0.75).met).toBe(true)
    expect(check(0.7500001).met).toBe(false)
    expect(describeCheck(check(0.8))).toBe(
      'exact-match of a<b>"&: 0.75 (95 % interval 0.6 to 0.86, 40 rows), expected ≥ 0.8',
    )
  })

  it('lets no figure that is not a number pass', () => {
    expect(checkRequirements(evaluation, [{ metric: 'perplexity', atMost: 9 }])[0]!.met).toBe(false)
  })

  it('refuses a metric that was not evaluated, and a requirement without a bound', () => {
    expect(() => checkRequirements(evaluation, [{ metric: 'rouge-l', atLeast: 0 }])).toThrow(
      'rouge-l was not evaluated; evaluated were exact-match, perplexity.',
    )
    expect(() => checkRequirements(evaluation, [{ metric: 'perplexity' }])).toThrow(/no bound/)
  })

  it('writes a report whose names and texts cannot break its XML', () => {
    const xml = formatJUnit('rows\u0000<x>', [check(0.7), check(0.8)], 1.5)
    expect(xml).toContain('<testsuites tests="2" failures="1" errors="0" time="1.500">')
    expect(xml).toContain('classname="rows\ufffd&lt;x&gt;.a&lt;b&gt;&quot;&amp;"')
    expect(xml.match(/<failure /g)).toHaveLength(1)
    expect(xml).not.toContain('\u0000')
  })
})
