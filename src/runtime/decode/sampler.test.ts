import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import {
  createSampler as createFor,
  drawToken,
  selectGreedy,
  keepMinP,
  keepTopP,
  rankTokens,
  type Sampler,
} from './sampler.ts'
import { createProcessors } from './processors/processor-table.ts'
import { samplingFields, type SamplingOptions } from './sampling-options.ts'

const none = { tokens: [], promptTokens: 0 }
function createSampler(options: SamplingOptions, draws: ReturnType<typeof random>): Sampler {
  const settings = readOptions('Sampling options', options, samplingFields)
  return createFor(settings, draws, createProcessors({ ...settings, minTokens: 0 }, new Set()))
}

const logitsOf = fc.float32Array({ min: -30, max: 30, noNaN: true, minLength: 1, maxLength: 40 })
const sample = (
  options: SamplingOptions,
  logits: Float32Array,
  seed = 1,
  tokens: readonly number[] = [],
): number => createSampler(options, random(seed))(logits, { tokens, promptTokens: tokens.length })
const all = { topK: 0, topP: 1, minP: 0 }
const spread = Float32Array.of(...[0.5, 0.25, 0.15, 0.1].map(Math.log))

describe('greedy', () => {
  it('takes the largest, the lowest id on a tie, never NaN', () => {
    expect(selectGreedy(Float32Array.of(1, 3, 3, 2))).toBe(1)
    expect(selectGreedy(Float32Array.of(Number.NaN, -5, -4))).toBe(2)
  })
  it('is temperature 0, and what top-k 1 gives at any temperature and seed', () => {
    fc.assert(
      fc.property(logitsOf, fc.integer(), (logits, seed) => {
        expect(sample({}, logits)).toBe(selectGreedy(logits))
        expect(sample({ temperature: 1.7, topK: 1 }, logits, seed)).toBe(selectGreedy(logits))
      }),
    )
  })
})

describe('filters', () => {
  it('rank is the softmax, in falling order', () => {
    const { ids, probabilities } = rankTokens(Float32Array.of(Math.log(1), Math.log(3)), 1, {
      ...all,
      topK: 2,
    })
    expect(ids).toEqual([1, 0])
    expect(probabilities[0]).toBeCloseTo(0.75, 6)
  })
  it('a low temperature sharpens, a high one flattens', () => {
    const top = (temperature: number): number =>
      rankTokens(spread, temperature, all).probabilities[0]!
    expect(top(0.5)).toBeGreaterThan(top(1))
    expect(top(2)).toBeLessThan(top(1))
  })
  it('top-k keeps k, top-p the shortest run that reaches p, min-p those near the best', () => {
    expect(rankTokens(spread, 1, { ...all, topK: 2 }).ids).toEqual([0, 1])
    expect(keepTopP(rankTokens(spread, 1, { ...all, topP: 0.7 }), 0.7).ids).toEqual([0, 1])
    expect(keepTopP(rankTokens(spread, 1, { ...all, topP: 0.8 }), 0.8).ids).toEqual([0, 1, 2])
    expect(keepMinP(rankTokens(spread, 1, { ...all, minP: 0.25 }), 0.25).ids).toEqual([0, 1, 2])
  })
  it('every filter leaves at least one token, with probabilities that add up to 1', () => {
    fc.assert(
      fc.property(
        logitsOf,
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(5),
        (logits, p, minP, topK) => {
          const left = keepMinP(keepTopP(rankTokens(logits, 0.8, { topK, topP: p, minP }), p), minP)
          expect(left.ids.length).toBeGreaterThan(0)
          expect(left.probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 9)
          expect(left.ids).toContain(selectGreedy(logits))
        },
      ),
    )
  })
})

describe('the shortlist', () => {
  it('keeps what sorting everything would keep', () => {
    const numbers = random(9)
    const logits = Float32Array.from({ length: 5000 }, () => numbers.normal() * 3)
    const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!)
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
    let mass = 0
    const reach = order.findIndex((id) => (mass += Math.exp(logits[id]!) / total) >= 0.9) + 1
    expect(rankTokens(logits, 1, { ...all, topK: 40 }).ids).toEqual(order.slice(0, 40))
    expect(keepTopP(rankTokens(logits, 1, { ...all, topP: 0.9 }), 0.9).ids).toEqual(
      order.slice(0, reach),
    )
    const near = order.filter((id) => Math.exp(logits[id]! - logits[order[0]!]!) >= 0.01)
    expect(keepMinP(rankTokens(logits, 1, { ...all, minP: 0.01 }), 0.01).ids).toEqual(near)
  })
})

describe('repetition penalty', () => {
  it('lowers every seen token once and leaves the argument alone', () => {
    const logits = Float32Array.of(2, -2, 1.5)
    expect(sample({ repetitionPenalty: 2 }, logits, 1, [0, 1, 1, 99])).toBe(2)
    expect([...logits]).toEqual([2, -2, 1.5])
  })
})

describe('drawing', () => {
  it('follows the probabilities', () => {
    const sampler = createSampler({ temperature: 1 }, random(5))
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 20_000; i++) counts[sampler(spread, none)]!++
    for (const [id, share] of [0.5, 0.25, 0.15, 0.1].entries())
      expect(counts[id]! / 20_000).toBeCloseTo(share, 1.7)
  })
  it('the same seed gives the same tokens, another seed others', () => {
    const run = (seed: number): number[] => {
      const sampler = createSampler({ temperature: 1 }, random(seed))
      return Array.from({ length: 32 }, () => sampler(spread, none))
    }
    expect(run(3)).toEqual(run(3))
    expect(run(3)).not.toEqual(run(4))
  })
  it('takes the last one where rounding leaves the sum below 1', () => {
    expect(drawToken({ ids: [7, 8], probabilities: [0.5, 0.4999] }, 0.99999)).toBe(8)
  })
})

it('names every option that is out of range', () => {
  expect(() => createSampler({ temperature: -1, topP: 0, topK: 1.5 }, random(1))).toThrow(
    OptionError,
  )
  expect(() => createSampler({ temperature: -1, topP: 0, topK: 1.5 }, random(1))).toThrow(
    /temperature.*topK.*topP/,
  )
})

it('names an option that does not exist, with the one that was probably meant', () => {
  const misspelt = { temprature: 2 } as SamplingOptions
  expect(() => createSampler(misspelt, random(1))).toThrow(
    'Sampling options: there is no option "temprature". Did you mean "temperature"?',
  )
})
