import { describe, expect, it } from 'vitest'
import { OptionError, ShapeError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { MemoryTier } from './memory-tier.ts'

const width = 40 // no multiple of 16
const states = (count: number, seed = 1): Float32Array[] => {
  const { normal } = random(seed)
  return Array.from({ length: count }, () => Float32Array.from({ length: width }, () => normal()))
}
const unit = (v: Float32Array): Float32Array => {
  const length = Math.hypot(...v)
  return v.map((x) => x / length)
}
const dot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0)

describe('the memory tier', () => {
  it('gives what the formula gives: shares ∝ Σ exp(θ·h·hᵢ) over the pairs of a token', () => {
    const memory = new MemoryTier(width, { sharpness: 8 })
    const keys = states(300)
    keys.forEach((key, i) => memory.add(key, i % 7))
    for (const query of states(20, 9)) {
      const weights = new Array<number>(7).fill(0)
      keys.forEach((key, i) => (weights[i % 7]! += Math.exp(8 * dot(unit(query), unit(key)))))
      const total = weights.reduce((a, b) => a + b)
      const { tokens, shares, nearest } = memory.retrieve(query)!
      expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 5)
      tokens.forEach((token, i) =>
        expect(Math.abs(shares[i]! - weights[token]! / total)).toBeLessThan(0.01),
      )
      expect(
        Math.abs(nearest - Math.max(...keys.map((key) => dot(unit(query), unit(key))))),
      ).toBeLessThan(0.01)
    }
  })

  it('knows a state again, whatever its length, and names its token first', () => {
    const memory = new MemoryTier(width)
    const keys = states(50)
    keys.forEach((key, i) => memory.add(key, 1000 + i))
    const { tokens, shares, nearest } = memory.retrieve(keys[20]!.map((x) => 3 * x))!
    expect(tokens[0]).toBe(1020)
    expect(shares[0]).toBeGreaterThan(0.99)
    expect(nearest).toBeGreaterThan(0.999)
  })

  it('is bounded, and lets the pair go that helped least', () => {
    const memory = new MemoryTier(width, { capacity: 20 })
    const keys = states(20)
    keys.forEach((key, i) => memory.add(key, i))
    for (let i = 0; i < 20; i++) if (i !== 13) memory.reinforce(memory.retrieve(keys[i]!)!, i)
    memory.add(states(1, 77)[0]!, 99)
    expect(memory.count).toBe(20)
    expect(memory.retrieve(keys[13]!)!.nearest).toBeLessThan(0.9)
    expect(memory.retrieve(keys[12]!)!.tokens[0]).toBe(12)
    expect(memory.sizeBytes).toBeLessThanOrEqual(20 * (48 + 12))
  })

  it('comes back from its state, and refuses one that does not fit', () => {
    const memory = new MemoryTier(width)
    const keys = states(30)
    keys.forEach((key, i) => memory.add(key, i))
    const again = new MemoryTier(width)
    again.restore(memory.state())
    expect(again.retrieve(keys[4]!)).toEqual(memory.retrieve(keys[4]!))
    expect(() => again.restore({ ...memory.state(), tokens: new Int32Array(3) })).toThrow(
      ShapeError,
    )
    expect(again.count).toBe(30)
    again.clear()
    expect(again.retrieve(keys[4]!)).toBeUndefined()
  })

  it('passes over states without a direction and refuses those of another width', () => {
    const memory = new MemoryTier(width)
    memory.add(new Float32Array(width), 1)
    memory.add(new Float32Array(width).fill(Number.NaN), 1)
    expect(memory.count).toBe(0)
    expect(() => memory.add(new Float32Array(3), 1)).toThrow(ShapeError)
    expect(() => new MemoryTier(width, { capacity: 0 })).toThrow(OptionError)
  })
})
