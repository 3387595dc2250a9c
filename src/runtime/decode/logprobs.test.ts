import { expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { scoreToken } from './logprobs.ts'

it('scores a token by the logarithm of its softmax', () => {
  const { logprob, top } = scoreToken(Float32Array.of(1, 3, 2), 2, 0)
  expect(logprob).toBeCloseTo(2 - Math.log(Math.exp(1) + Math.exp(3) + Math.exp(2)), 12)
  expect(top).toEqual([])
})

it('does not overflow', () => {
  expect(scoreToken(Float32Array.of(1000, 1000), 0, 1).logprob).toBeCloseTo(-Math.log(2), 12)
})

it('names the most likely tokens, the lower id first on a tie', () => {
  const draw = random(5)
  const logits = Float32Array.from({ length: 200 }, () => Math.round(draw.uniform() * 20))
  for (const count of [1, 5, 20, 300]) {
    const sorted = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b)
    const { top } = scoreToken(logits, 7, count)
    expect(top.map(({ id }) => id)).toEqual(sorted.slice(0, count))
    for (const { id, logprob } of top) expect(logprob).toBe(scoreToken(logits, id, 0).logprob)
  }
})
