import { describe, expect, it } from 'vitest'
import { describeAnswering, mixDecision, mixScores } from './mix-experts.ts'
import { searchWeights } from './learn-mixture.ts'

const scores = [
  { expert: 'a', score: 0.6 },
  { expert: 'b', score: 0.3 },
  { expert: 'c', score: 0.06 },
  { expert: 'd', score: 0.04 },
]
const decision = { expert: 'a', confidence: 0.6, scores, reason: 'a at 60 %.' }

describe('a mixture by scores', () => {
  it('has the softmax of the best experts among themselves', () => {
    // logits ln 0.6 and ln 0.3: a softmax over both gives 2/3 and 1/3
    expect(mixScores(scores, { most: 2, least: 0 })).toEqual([
      { name: 'a', weight: 0.67 },
      { name: 'b', weight: 0.33 },
    ])
  })

  it('leaves out small shares, and sums to 1', () => {
    expect(mixScores(scores, { most: 4, least: 0.1 }).map(({ name }) => name)).toEqual(['a', 'b'])
    for (const most of [1, 2, 3, 4]) {
      const total = mixScores(scores, { most, least: 0 }).reduce(
        (sum, { weight }) => sum + weight,
        0,
      )
      expect(total).toBeCloseTo(1, 10)
    }
    expect(mixScores([], { most: 2, least: 0 })).toEqual([])
  })

  it('is part of a decision where more than one expert has a share', () => {
    const mixed = mixDecision(decision, { most: 3, least: 0.1 })
    expect(mixed.mixture).toEqual([
      { name: 'a', weight: 0.67 },
      { name: 'b', weight: 0.33 },
    ])
    expect(mixed.reason).toBe('a at 60 %. They answer together: a 0.67, b 0.33.')
    expect(describeAnswering(mixed)).toBe('a:0.67+b:0.33')
    expect(mixDecision(decision, { most: 1, least: 0 }).mixture).toBeUndefined()
    expect(describeAnswering(decision)).toBe('a')
    const base = { ...decision, expert: undefined }
    expect(mixDecision(base, { most: 3, least: 0 })).toBe(base)
    expect(describeAnswering(base)).toBeUndefined()
  })
})

describe('the search of weights', () => {
  it('finds the least of a bowl, within the rounds that it has', async () => {
    const wanted = [0.7, -0.2, 0.4]
    let calls = 0
    const { weights, tried } = await searchWeights(
      [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0.3, 0.3, 0.3],
      ],
      async (at) => {
        calls++
        return at.reduce((sum, value, i) => sum + (1 + i) * (value - wanted[i]!) ** 2, 0)
      },
      120,
    )
    weights.forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 2))
    expect(calls).toBe(tried)
    expect(tried).toBeLessThan(120 + 4 + 5)
  })
})
