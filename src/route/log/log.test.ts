import { describe, expect, it } from 'vitest'
import { DataError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { estimateOffPolicy, type LoggedChoice } from './off-policy.ts'
import { readRouteLog, toRouteExamples, writeDecisionRow, writeOutcomeRow } from './route-log.ts'

const decision = {
  expert: 'sql',
  confidence: 0.9,
  scores: [
    { expert: 'sql', score: 0.9 },
    { expert: 'code', score: 0.1 },
  ],
  reason: 'sql at 90 %.',
  propensity: 0.5,
  features: Float32Array.of(0.5, -2),
}
const time = '2026-11-30T12:00:00Z'
const write = (id: string, more: object = {}) =>
  writeDecisionRow({ id, time, kind: 'keyword', text: `prompt ${id}`, decision, ...more })

describe('the log of a router', () => {
  it('reads what it wrote, outcomes joined to their decisions', () => {
    const text =
      write('a') + write('b') + writeOutcomeRow('a', time, { reward: 1, right: undefined })
    const [a, b] = readRouteLog(text, 'log.jsonl')
    expect(a).toMatchObject({
      id: 'a',
      choice: 'sql',
      propensity: 0.5,
      reward: 1,
      right: undefined,
    })
    expect([...a!.features!]).toEqual([0.5, -2])
    expect(a!.scores[1]).toEqual(['code', 0.1])
    expect(b!.reward).toBeUndefined()
  })
  it('leaves out prompts and vectors where it is asked to', () => {
    const [row] = readRouteLog(write('a', { text: undefined, withFeatures: false }), 'log')
    expect([row!.text, row!.features]).toEqual([undefined, undefined])
  })
  it('gives examples: the right expert where it was named, else the choice that was good', () => {
    const text = ['a', 'b', 'c', 'd', 'e'].map((id) => write(id)).join('')
    const outcomes =
      writeOutcomeRow('a', time, { reward: 0, right: 'code' }) +
      writeOutcomeRow('b', time, { reward: 0.9, right: undefined }) +
      writeOutcomeRow('c', time, { reward: 0.2, right: undefined }) +
      writeOutcomeRow('d', time, { reward: undefined, right: null })
    expect(toRouteExamples(readRouteLog(text + outcomes, 'log'))).toEqual([
      { text: 'prompt a', expert: 'code' },
      { text: 'prompt b', expert: 'sql' },
      { text: 'prompt d', expert: undefined },
    ])
  })
  it('forgives a last line that was cut, and names any other broken one', () => {
    const whole = write('a')
    expect(readRouteLog(whole + '{"type":"deci', 'log')).toHaveLength(1)
    expect(() => readRouteLog(`{"type":\n${whole}`, 'log')).toThrow(DataError)
    expect(() => readRouteLog(`{"type":\n${whole}`, 'log')).toThrow(/log:1: is not JSON/)
    expect(() => readRouteLog('{"a":1}\n', 'log')).toThrow(/log:1: .*"decision" or "outcome"/)
    const wrong = `${JSON.stringify({ type: 'decision', id: 'a', kind: 'k', choice: null, confidence: 2 })}\n`
    expect(() => readRouteLog(wrong, 'log')).toThrow(/propensity: is missing; confidence: got 2/)
  })
})

describe('off-policy estimates', () => {
  /** The logging router draws evenly of two; 'a' earns 0.8 on average, 'b' 0.3. */
  const draw = (count: number, target: LoggedChoice['target']): LoggedChoice[] => {
    const { uniform } = random(4)
    return Array.from({ length: count }, () => {
      const choice = uniform() < 0.5 ? 'a' : 'b'
      const reward = uniform() < (choice === 'a' ? 0.8 : 0.3) ? 1 : 0
      return { choice, propensity: 0.5, reward, target }
    })
  }
  it('find what another router would earn', () => {
    const always = estimateOffPolicy(draw(4000, new Map([['a', 1]])), 0)!
    for (const { value } of [always.ips, always.snips, always.doublyRobust])
      expect(Math.abs(value - 0.8)).toBeLessThan(0.05)
    expect(Math.abs(always.logged.value - 0.55)).toBeLessThan(0.05)
    expect(always.snips.low).toBeLessThan(0.8)
    expect(always.snips.high).toBeGreaterThan(0.78)
    expect(always.effectiveRows).toBeCloseTo(always.matched, 6)
    expect(always.matched).toBeLessThan(2200)
  })
  it('are worked out by hand for two rows', () => {
    // weights 1/0.5 = 2 and 0; q(a) = (1 + 5·0.5)/6, q(b) = (0 + 2.5)/6
    const target = new Map([['a', 1]])
    const rows = [
      { choice: 'a', propensity: 0.5, reward: 1, target },
      { choice: 'b', propensity: 0.5, reward: 0, target },
    ]
    const report = estimateOffPolicy(rows, 0)!
    const q = 3.5 / 6
    expect(report.ips.value).toBeCloseTo(1, 10)
    expect(report.snips.value).toBeCloseTo(1, 10)
    expect(report.doublyRobust.value).toBeCloseTo((q + q + 2 * (1 - q)) / 2, 10)
    expect([report.effectiveRows, report.matched]).toEqual([1, 1])
    expect(estimateOffPolicy([], 0)).toBeUndefined()
  })
})
