import { expect, it } from 'vitest'
import { computeInterpolationWeight, createGate } from './memory-gate.ts'
import type { Retrieval } from './retrieval.ts'
import { type Position, scorePositions } from './score-positions.ts'

const retrieval: Retrieval = {
  tokens: Int32Array.of(3, 5),
  shares: Float32Array.of(0.75, 0.25),
  logs: Float32Array.of(-0.2, -0.3),
  nearest: 0.9,
  entries: Int32Array.of(0, 1),
  entryShares: Float32Array.of(0.75, 0.25),
}
const createPosition = (given: Partial<Position>): Position => ({
  summary: {
    total: 2,
    largest: 0.6,
    ids: new Int32Array(0),
    logits: new Float32Array(0),
    sample: new Float32Array(0),
  },
  token: 5,
  logit: 1,
  weight: 1,
  retrieval: undefined,
  ...given,
})

it('are the model’s losses without a retrieval, and those of the mix with one', () => {
  const gate = createGate()
  const positions = [createPosition({}), createPosition({ retrieval })]
  const { scores, gateExamples } = scorePositions(positions, gate)
  expect([...scores.modelLosses]).toEqual([1, 1])
  const share = computeInterpolationWeight(gate, retrieval, 0.6)
  const mixed = (1 - share) * Math.exp(-1) + share * 0.25
  expect(scores.losses[0]).toBe(1)
  expect(scores.losses[1]).toBeCloseTo(-Math.log(mixed), 6)
  expect(scores.surprise).toBeCloseTo(1 - (Math.exp(-1) + mixed) / 2, 6)
  expect(gateExamples).toHaveLength(1)
  expect(gateExamples[0]).toMatchObject({ token: 5, cache: 0.25, largest: 0.6, weight: 1 })
})

it('leave positions of weight 0 out of the surprise, and rejected ones out of the gate’s step', () => {
  const positions = [
    createPosition({ weight: 0, logit: -5 }),
    createPosition({ weight: -2, retrieval }),
  ]
  const { scores, gateExamples } = scorePositions(positions, createGate())
  expect(scores.surprise).toBeCloseTo(1 - Math.exp(-scores.losses[1]!), 6)
  expect(gateExamples[0]!.weight).toBe(0)
})
