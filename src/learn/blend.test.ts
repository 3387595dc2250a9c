import { expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { blended, cachedShare, learnGate, memoryShare, newGate, type Seen } from './blend.ts'
import { MemoryTier } from './memory-tier.ts'

const recallOf = (near: boolean) => {
  const memory = new MemoryTier(8)
  memory.add(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), 3)
  memory.add(Float32Array.of(0.99, 0.1, 0, 0, 0, 0, 0, 0), 5)
  return memory.recall(near ? Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0) : Float32Array.of(0.6, 0, 0.8, 0, 0, 0, 0, 0))!
}

it('the blend is the weighted sum of both distributions, whatever logits it comes from', () => {
  const { normal } = random(4)
  const logits = Float32Array.from({ length: 10 }, () => 3 * normal() + 20)
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
  const recall = recallOf(true)
  const result = blended(logits, total, recall, 0.4)
  result.forEach((value, token) => {
    const expected = 0.6 * Math.exp(logits[token]! - total) + 0.4 * cachedShare(recall, token)
    expect(Math.exp(value)).toBeCloseTo(expected, 5)
  })
  expect(result.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 5)
})

it('a close pair is believed more than a far one, and a sure model less often overruled', () => {
  const gate = newGate()
  expect(memoryShare(gate, recallOf(true), 0.3)).toBeGreaterThan(0.5)
  expect(memoryShare(gate, recallOf(false), 0.3)).toBeLessThan(0.1)
  expect(memoryShare(gate, recallOf(true), 0.99)).toBeLessThan(memoryShare(gate, recallOf(true), 0.1))
})

it('the gate opens for a memory that is right, closes for one that is wrong, and never wholly', () => {
  const seen = (cache: number, model: number): Seen => ({ recall: recallOf(true), largest: 0.5, model, cache, weight: 1 })
  const [right, wrong] = [newGate(), newGate()]
  for (let turn = 0; turn < 100; turn++) {
    learnGate(right, [seen(0.9, 0.1), seen(0.8, 0.2)])
    learnGate(wrong, [seen(0, 0.5), seen(0, 0.4)])
  }
  const shares = [right, newGate(), wrong].map((gate) => memoryShare(gate, recallOf(true), 0.5))
  expect(shares[0]!).toBeGreaterThan(shares[1]!)
  expect(shares[1]!).toBeGreaterThan(shares[2]!)
  expect(shares[0]!).toBeLessThanOrEqual(0.98)
  expect(shares[2]!).toBeGreaterThanOrEqual(0.005)
  const before = [...wrong.weights]
  learnGate(wrong, [])
  expect([...wrong.weights]).toEqual(before)
})
