import { describe, expect, it } from 'vitest'
import { createRewardRecord } from '../learn/turns/reward.ts'
import {
  addLoss,
  addQuality,
  computeAdvantage,
  computeBaseline,
  computeRateDivisor,
  computeVariance,
  createRewardState,
  discountByLatency,
} from './reward.ts'

const qualities = [0.2, 0.9, 0.4, 0.4, 0.7]

describe('statistics of rewards', () => {
  it('of qualities are the mean and the variance over count − 1', () => {
    const state = createRewardState()
    expect(computeVariance(state)).toBe(0)
    for (const quality of qualities) addQuality(state, quality)
    const mean = qualities.reduce((sum, x) => sum + x / 5, 0)
    const variance = qualities.reduce((sum, x) => sum + (x - mean) ** 2 / 4, 0)
    expect(state.mean).toBeCloseTo(mean, 12)
    expect(computeVariance(state)).toBeCloseTo(variance, 12)
    expect(computeRateDivisor(state)).toBeCloseTo(1 + 4 * variance, 12)
    expect(computeAdvantage(0.3, state, false)).toBe(0.3)
    expect(computeAdvantage(0.3, state, true)).toBeCloseTo(0.3 / Math.sqrt(variance), 12)
  })
  it('divide by no deviation below 0.05, and by none before the second quality', () => {
    const state = createRewardState()
    addQuality(state, 0.5)
    expect(computeAdvantage(0.3, state, true)).toBe(0.3)
    addQuality(state, 0.5)
    expect(computeAdvantage(0.3, state, true)).toBeCloseTo(6, 12)
  })
  it('of losses are plain means at first, whatever the first loss was', () => {
    for (const state of [createRewardState(), createRewardRecord()]) {
      addLoss(state, 100)
      for (let i = 1; i < 20; i++) addLoss(state, i % 2)
      expect(state.firstLoss).toBeCloseTo(105 / 10, 12)
      expect(state.recentLoss).toBeCloseTo(110 / 20, 12)
      addLoss(state, 0)
      expect(state.recentLoss).toBeCloseTo((0.95 * 110) / 20, 12)
    }
  })
  it('of rewards move by 1 − keep, and a late answer is worth less', () => {
    expect(computeBaseline(0.5, 1, 0.9)).toBeCloseTo(0.55, 12)
    expect([0.5, 1, 1.5, 3].map((ratio) => discountByLatency(0.8, ratio))).toEqual([
      0.8 * 1.5,
      0.8,
      0.4,
      0,
    ])
  })
})
