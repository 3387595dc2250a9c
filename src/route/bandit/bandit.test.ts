import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { type BanditMethod, chooseArm, computeBestShare, computeNormal } from './choose-arm.ts'
import { LinearArms } from './linear-arms.ts'
import { createContextReader, hashContext } from './prompt-context.ts'

const methods: readonly BanditMethod[] = ['linucb', 'thompson']
const settingsOf = (method: BanditMethod) => ({ method, exploration: 0.4, even: 0.1 })

describe('linear arms', () => {
  it('are ridge regression, one reward at a time', () => {
    const draw = random(1)
    const arms = new LinearArms(1, 3, 2)
    const rows = Array.from({ length: 40 }, () => ({
      x: Float64Array.from({ length: 3 }, () => draw.normal()),
      reward: draw.uniform(),
    }))
    for (const { x, reward } of rows) arms.update(0, x, reward)
    // The gradient of Σ (r − ½ − θ·x)² + λ‖θ‖² is 0 at the estimate: θ from means in unit
    // directions.
    const theta = [0, 1, 2].map(
      (i) =>
        arms.estimate(
          0,
          Float64Array.from([0, 1, 2], (j) => Number(i === j)),
        ).mean - 0.5,
    )
    for (let i = 0; i < 3; i++) {
      const slope = rows.reduce(
        (sum, { x, reward }) =>
          sum + x[i]! * (reward - 0.5 - theta.reduce((part, value, j) => part + value * x[j]!, 0)),
        -2 * theta[i]!,
      )
      expect(Math.abs(slope)).toBeLessThan(1e-9)
    }
    const again = new LinearArms(1, 3, 2)
    const { inverses, moments, counts } = arms.read()
    again.restore(inverses, moments, counts)
    expect(again.rewards).toBe(40)
    expect(again.estimate(0, rows[0]!.x).mean).toBeCloseTo(arms.estimate(0, rows[0]!.x).mean, 5)
  })
})

describe('choosing an arm', () => {
  const estimates = [
    { mean: 0.5, deviation: 0.5 },
    { mean: 0.6, deviation: 0.2 },
    { mean: 0.3, deviation: 1 },
    { mean: 0.1, deviation: 0.01 },
  ]

  it.each(methods)('by %s states the probability with which it chooses', (method) => {
    const draw = random(8)
    const turns = 6000
    const counts = estimates.map(() => 0)
    const stated: (number | undefined)[] = estimates.map(() => undefined)
    const costs = [0, 0.05, 0, 0]
    for (let turn = 0; turn < turns; turn++) {
      const { arm, propensity } = chooseArm(estimates, costs, settingsOf(method), draw)
      counts[arm]!++
      expect(stated[arm] ?? propensity).toBe(propensity)
      stated[arm] = propensity
    }
    expect(stated.reduce<number>((sum, share) => sum + share!, 0)).toBeCloseTo(1, 3)
    for (const [arm, share] of stated.entries()) {
      const spread = Math.sqrt((share! * (1 - share!)) / turns)
      expect(Math.abs(counts[arm]! / turns - share!)).toBeLessThan(4 * spread + 1e-3)
    }
  })

  it('weighs rewards by propensities to the value of another way of choosing', () => {
    // Logged by Thompson sampling; wanted: the value of choosing evenly, which is the mean of all.
    const draw = random(3)
    const values = [0.2, 0.9, 0.5, 0.4]
    let sum = 0
    const turns = 6000
    for (let turn = 0; turn < turns; turn++) {
      const { arm, propensity } = chooseArm(estimates, [0, 0, 0, 0], settingsOf('thompson'), draw)
      sum += (draw.uniform() < values[arm]! ? 1 : 0) * (0.25 / propensity)
    }
    expect(Math.abs(sum / turns - 0.5)).toBeLessThan(0.05)
  })

  it('computes shares of normals, also of certain ones', () => {
    expect(computeNormal(1.96)).toBeCloseTo(0.9750021, 6)
    expect(computeNormal(-1.96)).toBeCloseTo(0.0249979, 6)
    const two = [
      { mean: 0, deviation: 3 },
      { mean: 1, deviation: 4 },
    ]
    expect(computeBestShare(two, 1)).toBeCloseTo(computeNormal(1 / 5), 4)
    expect(computeBestShare([two[0]!, { mean: 1, deviation: 0 }], 1)).toBeCloseTo(
      computeNormal(1 / 3),
      6,
    )
  })

  it.each(methods)('by %s leaves an arm that costs more than it is better by', (method) => {
    const draw = random(5)
    const sure = [
      { mean: 0.8, deviation: 0.01 },
      { mean: 0.7, deviation: 0.01 },
    ]
    const settings = { method, exploration: 0.4, even: 0 }
    expect(chooseArm(sure, [0, 0], settings, draw).arm).toBe(0)
    expect(chooseArm(sure, [0.2, 0], settings, draw).arm).toBe(1)
    expect(chooseArm(sure, [0.05, 0], settings, draw).arm).toBe(0)
  })

  it.each(methods)(
    'by %s has less regret in the second half of 2,000 turns than in the first',
    (method) => {
      const draw = random(11)
      const arms = new LinearArms(4, 9, 1)
      const wanted = Array.from({ length: 4 }, () =>
        Float64Array.from({ length: 9 }, () => 0.3 * draw.normal()),
      )
      const halves = [0, 0]
      for (let turn = 0; turn < 2000; turn++) {
        const x = Float64Array.from({ length: 9 }, (_, i) => (i === 8 ? 1 : draw.normal() / 3))
        const values = wanted.map(
          (theta) => 0.5 + theta.reduce((sum, value, i) => sum + value * x[i]!, 0),
        )
        const beliefs = values.map((_, arm) => arms.estimate(arm, x))
        const { arm } = chooseArm(
          beliefs,
          values.map(() => 0),
          { method, exploration: 0.3, even: 0.02 },
          draw,
        )
        arms.update(arm, x, values[arm]! + 0.1 * draw.normal())
        halves[Math.floor(turn / 1000)]! += Math.max(...values) - values[arm]!
      }
      expect(halves[1]!).toBeLessThan(0.5 * halves[0]!)
    },
  )
})

describe('the context of a prompt', () => {
  it('has length 1 and a constant, with and without words', () => {
    const x = hashContext('Sort a list of numbers', 16)
    expect(x[15]).toBe(1)
    expect(x.subarray(0, 15).reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 10)
    expect([...hashContext('', 4)]).toEqual([0, 0, 0, 1])
    expect(hashContext('SORT  a list of numbers', 16)).toEqual(x)
  })

  it('projects a sentence vector, the same way each time', async () => {
    const embedder = {
      settings: {},
      sha256: '',
      width: 5,
      embed: async (texts: readonly string[]) =>
        texts.map((text) => new Float32Array(5).fill(text.length)),
    }
    const read = createContextReader(8, embedder)
    const x = await read('abc')
    expect(x).toEqual(await createContextReader(8, embedder)('abc'))
    expect(x.subarray(0, 7).reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 10)
  })
})
