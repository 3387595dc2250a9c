// Losses over graded answers: advantages, the value of GRPO by hand, and rows that carry rewards.

import { describe, expect, it } from 'vitest'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { computeAdvantages } from '../data/advantages.ts'
import { readExamples } from '../data/format-table.ts'
import { createRawDataset } from '../data/jsonl.ts'
import { buildLossGraph } from './loss.contract.ts'
import type { LossBatch } from './loss.ts'
import { getLoss } from './loss-table.ts'

/** Two answers of one token each, of two words: what is likelier than it was, and what is less. */
function computeLoss(
  name: string,
  grades: LossBatch['grades'],
  settings: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, Tensor> {
  const loss = getLoss(name)
  const complete = loss.complete(settings)
  const logits = f32([2, 2], [Math.log(3), 0, 0, 0]) // p = 3/4 and 1/2
  const frozen = new Map([['logProbabilities', f32([2], [Math.log(0.5), Math.log(0.5)])]])
  const batch = { labelCounts: [1, 1], grades, frozen } as unknown as LossBatch
  const feeds = new Map<string, Tensor>([
    ['logits', logits],
    ['labels', i64([2], [0, 1])],
    ['weights', f32([2], [0.5, 0.5])],
    ...loss.feeds!(batch, complete),
  ])
  // the graph of the contract has seven words; this one is built anew for two
  return evaluate(buildLossGraph(loss, complete, 2), feeds)
}

const read = (outputs: ReadonlyMap<string, Tensor>, name: string): number[] =>
  Array.from(outputs.get(name)!.data as Float32Array)

describe('GRPO', () => {
  const grades = [
    { reward: 1, advantage: 1 },
    { reward: 0, advantage: -1 },
  ]
  it('clips what moved too far in the direction of its advantage', () => {
    // ρ = 1.5 and 1; the first counts as 1.2: −(1.2·1 + 1·(−1))/2
    const outputs = computeLoss('grpo', grades, { beta: 0 })
    expect(read(outputs, 'loss')[0]).toBeCloseTo(-0.1, 6)
    expect(read(outputs, 'counted')).toEqual([0, 1])
    // wide enough: −(1.5 − 1)/2
    expect(read(computeLoss('grpo', grades, { beta: 0, clip: 0.6 }), 'loss')[0]).toBeCloseTo(
      -0.25,
      6,
    )
    // against its advantage nothing is clipped: −(−1.5 + 1)/2
    const turned = grades.map(({ reward, advantage }) => ({ reward, advantage: -advantage }))
    expect(read(computeLoss('grpo', turned, { beta: 0 }), 'loss')[0]).toBeCloseTo(0.25, 6)
  })
  it('adds the divergence from the policy that wrote the answers', () => {
    // 1/1.5 + log 1.5 − 1 for the first, 0 for the second
    const outputs = computeLoss('grpo', grades, { beta: 2 })
    const divergence = 1 / 1.5 + Math.log(1.5) - 1
    expect(read(outputs, 'divergence')[0]).toBeCloseTo(divergence, 6)
    expect(read(outputs, 'loss')[0]).toBeCloseTo(-0.1 + divergence, 6)
    expect(getLoss('grpo').report!([outputs])).toEqual({
      clipped: 0.5,
      divergence: expect.closeTo(divergence / 2, 6),
    })
  })
})

it('rejection sampling learns what was good enough', () => {
  const grades = [
    { reward: 0.6, advantage: 0 },
    { reward: 0.4, advantage: 0 },
  ]
  const outputs = computeLoss('rejection', grades, {})
  expect(read(outputs, 'loss')[0]).toBeCloseTo(-0.5 * Math.log(0.75), 6)
  expect(getLoss('rejection').report!([outputs])).toEqual({ kept: 0.5 })
})

describe('advantages', () => {
  it('are standard deviations from the mean of the group', () => {
    const grades = [1, 0, 0, 0].map((reward) => ({ group: 'a', reward }))
    const found = computeAdvantages([...grades, { group: 'b', reward: 7 }, undefined])
    expect(found[0]).toBeCloseTo(0.75 / (0.5 + 1e-4), 6)
    expect(found[1]).toBeCloseTo(-0.25 / (0.5 + 1e-4), 6)
    expect(found.slice(4)).toEqual([0, undefined]) // alone, it is as good as its group
  })
})

describe('rows with a reward', () => {
  const row = { prompt: 'a', completion: ' b', reward: 0.5 }
  it('are graded answers', () => {
    const { format, examples } = readExamples(createRawDataset([row], 'rows'))
    expect([format.name, examples[0]!.example]).toEqual([
      'graded',
      {
        kind: 'graded',
        answer: { kind: 'completion', prompt: 'a', completion: ' b' },
        reward: 0.5,
      },
    ])
  })
  it('all need one', () => {
    const rows = createRawDataset([row, { ...row, reward: 'high' }], 'rows')
    expect(() => readExamples(rows)).toThrow(/row 2: "reward" must be a number, got "high"/)
  })
})
