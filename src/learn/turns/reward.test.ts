import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { measureNovelty, computeNoveltyRate } from './novelty.ts'
import { scoreSignal, createRewardRecord, computeReward, computeTokenWeights } from './reward.ts'

describe('a reward', () => {
  it('is quality and time', () => {
    expect(computeReward({ quality: 0.8 })).toBeCloseTo(0.8)
    expect(computeReward({ quality: 0.8, latencyRatio: 0.5 })).toBeCloseTo(1.2)
    expect(computeReward({ feedback: 'up', latencyRatio: 3 })).toBe(0)
    expect(computeReward({ feedback: 'down', quality: 0.7 })).toBe(0.7)
  })
  it('is refused with everything that is wrong, and the record stays', () => {
    expect(() => computeReward({})).toThrow(/neither a quality nor feedback/)
    expect(() =>
      computeReward({
        quality: 2,
        latencyRatio: -1,
        contextTokens: Infinity,
        tier: 'x'.repeat(65),
        queryEmbedding: Float32Array.of(1, Number.NaN),
      }),
    ).toThrow(
      /quality: got 2.*latencyRatio: got -1.*tier: got .*contextTokens: got Infinity.*queryEmbedding: got /,
    )
    expect(() => computeReward({ feedback: 'UP' as 'up' })).toThrow(
      /feedback: got "UP", expected "up", "down"/,
    )
    expect(() => computeReward({ quality: 1, latencyratio: 2 } as object)).toThrow(
      'there is no option "latencyratio". Did you mean "latencyRatio"?',
    )
    const record = createRewardRecord()
    expect(() => scoreSignal(record, { quality: Number.NaN })).toThrow(OptionError)
    expect(record).toEqual(createRewardRecord())
  })
})

describe('an advantage', () => {
  it('is measured against what answers usually get', () => {
    const record = createRewardRecord()
    expect(scoreSignal(record, { feedback: 'up' }).advantage).toBe(0.5)
    for (let i = 0; i < 60; i++) scoreSignal(record, { feedback: 'up' })
    expect(scoreSignal(record, { feedback: 'up' }).advantage).toBeLessThan(0.01)
    expect(scoreSignal(record, { feedback: 'down' }).advantage).toBeLessThan(-0.98)
  })
  it('normalised does not depend on how far qualities lie apart', () => {
    const last = (low: number, high: number): number => {
      const record = createRewardRecord()
      for (let i = 0; i < 100; i++) scoreSignal(record, { quality: i % 2 === 0 ? low : high })
      return scoreSignal(record, { quality: high }, { normalizeQuality: true }).advantage
    }
    expect(last(0.1, 0.9) / last(0.5, 0.7)).toBeCloseTo(1, 2)
  })
  it('slows the rate where qualities vary and that is asked for', () => {
    const record = createRewardRecord()
    for (let i = 0; i < 100; i++) scoreSignal(record, { quality: i % 2 })
    expect(scoreSignal(record, { quality: 1 }).rate).toBe(1)
    expect(scoreSignal(record, { quality: 1 }, { qualityRate: 'variance' }).rate).toBeCloseTo(
      1 / (1 + 4 * 0.25),
      1,
    )
  })
  it('keeps figures by tier, and of no more tiers than a table holds', () => {
    const record = createRewardRecord()
    for (const quality of [0.2, 0.6])
      scoreSignal(record, {
        quality,
        tier: '__proto__',
        contextTokens: 100 * quality,
        latencyRatio: 1,
      })
    scoreSignal(record, { quality: 1, tier: 'large' })
    expect(Object.entries(record.tiers)).toEqual([
      ['__proto__', { count: 2, meanQuality: 0.4 }],
      ['large', { count: 1, meanQuality: 1 }],
    ])
    expect(record.contextTokens).toEqual({ count: 2, mean: 40 })
    expect([record.count, record.mean]).toEqual([3, (0.2 + 0.6 + 1) / 3])
    for (let i = 0; i < 1000; i++) scoreSignal(record, { quality: 1, tier: `tier ${i}` })
    expect(Object.keys(record.tiers)).toHaveLength(17)
    expect(record.tiers['others']!.count).toBe(1000 - 14)
  })
})

describe('novelty', () => {
  it('is high for a question like none of the last 32, and low for one asked again', () => {
    const queries: Float32Array[] = []
    expect(measureNovelty(queries, Float32Array.of(3, 0))).toBe(0.5)
    expect(measureNovelty(queries, Float32Array.of(0, 0.1))).toBeCloseTo(1)
    expect(measureNovelty(queries, Float32Array.of(0, 7))).toBeCloseTo(0)
    for (let i = 0; i < 32; i++) measureNovelty(queries, Float32Array.of(-1, 0))
    expect(queries).toHaveLength(32)
    expect(measureNovelty(queries, Float32Array.of(0, 1))).toBeCloseTo(1)
    expect([computeNoveltyRate(0), computeNoveltyRate(0.5), computeNoveltyRate(1)]).toEqual([
      0.5, 1, 1.5,
    ])
  })
  it('refuses vectors of another length or of zeros, and keeps none of them', () => {
    const queries = [Float32Array.of(1, 0)]
    expect(() => measureNovelty(queries, Float32Array.of(1))).toThrow(
      /has 1 numbers, those before it had 2/,
    )
    expect(() => measureNovelty(queries, Float32Array.of(0, 0))).toThrow(/zeros/)
    expect(queries).toHaveLength(1)
  })
})

describe('what each token of an answer counts', () => {
  it('is the advantage where the answer was good', () => {
    expect(computeTokenWeights(0.4, Float32Array.of(0, 0.5, 20))).toEqual([0.4, 0.4, 0.4])
  })
  it('is the gradient of −log(1 − p) where it was bad, at most the advantage: an accident is not punished', () => {
    for (const p of [0.01, 0.2, 0.45]) {
      const loss = (logp: number): number => -Math.log(1 - Math.exp(logp))
      const slope = (loss(Math.log(p) + 1e-5) - loss(Math.log(p) - 1e-5)) / 2e-5
      expect(computeTokenWeights(-0.5, Float32Array.of(-Math.log(p)))[0]).toBeCloseTo(
        -0.5 * slope,
        4,
      )
    }
    expect(computeTokenWeights(-0.5, Float32Array.of(0, 0.3))).toEqual([-0.5, -0.5])
    expect(Math.abs(computeTokenWeights(-1, Float32Array.of(12))[0]!)).toBeLessThan(1e-5)
  })
})
