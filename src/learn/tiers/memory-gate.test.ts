import { expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import {
  interpolateLogits,
  computeTokenShare,
  learnGate,
  computeInterpolationWeight,
  createGate,
  type GateExample,
  computeSharpness,
} from './memory-gate.ts'
import { MemoryTier } from './memory-tier.ts'

const recallOf = (near: boolean) => {
  const memory = new MemoryTier(8)
  memory.add(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), 3)
  memory.add(Float32Array.of(0.99, 0.1, 0, 0, 0, 0, 0, 0), 5)
  return memory.retrieve(
    near ? Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0) : Float32Array.of(0.6, 0, 0.8, 0, 0, 0, 0, 0),
  )!
}

it('the blend is the weighted sum of both distributions, whatever logits it comes from', () => {
  const { normal } = random(4)
  const logits = Float32Array.from({ length: 10 }, () => 3 * normal() + 20)
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
  const recall = recallOf(true)
  const result = interpolateLogits(logits, total, recall, 0.4)
  result.forEach((value, token) => {
    const expected = 0.6 * Math.exp(logits[token]! - total) + 0.4 * computeTokenShare(recall, token)
    expect(Math.exp(value)).toBeCloseTo(expected, 5)
  })
  expect(result.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 5)
})

it('a near entry gets more weight than a far one, and less if the model is sure', () => {
  const gate = createGate()
  expect(computeInterpolationWeight(gate, recallOf(true), 0.3)).toBeGreaterThan(0.5)
  expect(computeInterpolationWeight(gate, recallOf(false), 0.3)).toBeLessThan(0.1)
  expect(computeInterpolationWeight(gate, recallOf(true), 0.99)).toBeLessThan(
    computeInterpolationWeight(gate, recallOf(true), 0.1),
  )
})

it('the gate opens for a memory that is right, closes for one that is wrong, and never wholly', () => {
  const seen = (cache: number, model: number): GateExample => ({
    retrieval: recallOf(true),
    largest: 0.5,
    model,
    cache,
    token: 3,
    weight: 1,
  })
  const right = createGate()
  const wrong = createGate()
  for (let turn = 0; turn < 100; turn++) {
    learnGate(right, [seen(0.9, 0.1), seen(0.8, 0.2)])
    learnGate(wrong, [seen(0, 0.5), seen(0, 0.4)])
  }
  const shares = [right, createGate(), wrong].map((gate) =>
    computeInterpolationWeight(gate, recallOf(true), 0.5),
  )
  expect(shares[0]!).toBeGreaterThan(shares[1]!)
  expect(shares[1]!).toBeGreaterThan(shares[2]!)
  expect(shares[0]!).toBeLessThanOrEqual(0.98)
  expect(shares[2]!).toBeGreaterThanOrEqual(0.005)
  const before = [...wrong.weights]
  learnGate(wrong, [])
  expect([...wrong.weights]).toEqual(before)
})

it('the sharpness follows the slope of the loss, against finite differences', () => {
  const memory = new MemoryTier(4, { sharpness: 6 })
  const { normal } = random(9)
  const state = (): Float32Array => Float32Array.from({ length: 4 }, () => normal() + 1)
  for (let i = 0; i < 30; i++) memory.add(state(), i % 3)
  for (const token of [0, 1, 2]) {
    const query = state()
    const lossAt = (log: number, gate = createGate()): number => {
      gate.weights[4] = log
      const recall = memory.retrieve(query, computeSharpness(gate, memory.sharpness))!
      // The share of the memory is held, so that the slope is that of its answer alone.
      return -Math.log(0.4 * 0.2 + 0.6 * computeTokenShare(recall, token))
    }
    const recall = memory.retrieve(query)!
    const at = recall.tokens.indexOf(token)
    const change =
      recall.logs[at]! - recall.shares[at]! * recall.logs.reduce((sum, log) => sum + log, 0)
    const slope = (-0.6 * change) / (0.4 * 0.2 + 0.6 * recall.shares[at]!)
    expect(slope).toBeCloseTo((lossAt(0.01) - lossAt(-0.01)) / 0.02, 3)
  }
})

it('the sharpness grows where only the nearest pair is right, and falls where many far ones are', () => {
  const memory = new MemoryTier(4, { sharpness: 5 })
  memory.add(Float32Array.of(1, 0, 0, 0), 1)
  for (let i = 0; i < 5; i++) memory.add(Float32Array.of(0.8, 0.6, 0, 0), 2)
  const learned = (token: number): number => {
    const gate = createGate()
    for (let turn = 0; turn < 20; turn++) {
      const recall = memory.retrieve(
        Float32Array.of(1, 0, 0, 0),
        computeSharpness(gate, memory.sharpness),
      )!
      learnGate(gate, [
        {
          retrieval: recall,
          token,
          largest: 0.3,
          model: 0.1,
          cache: computeTokenShare(recall, token),
          weight: 1,
        },
      ])
    }
    return computeSharpness(gate, memory.sharpness)
  }
  expect(learned(1)).toBeGreaterThan(6)
  expect(learned(2)).toBeLessThan(4)
})
