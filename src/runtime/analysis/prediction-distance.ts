// Distance between two ways of computing next tokens, such as the fast and the exact path, or a
// quantised model and its original.

import { selectGreedy } from '../decode/sampler.ts'
import { computeDivergence } from '../scoring.ts'

export interface PredictionDistance {
  readonly prompts: number
  /** Mean KL(expected ‖ got) of the next token, in nats. */
  readonly meanDivergence: number
  /** Largest difference of a logit. */
  readonly largestGap: number
  /** Share of prompts after which both choose the same token. */
  readonly equalGreedy: number
}

/**
 * Compares logits [V] of the token after each prompt. Without prompts the distances are 0 and
 * `equalGreedy` is 1.
 */
export function measurePredictionDistance(
  expected: readonly Float32Array[],
  got: readonly Float32Array[],
): PredictionDistance {
  let total = 0
  let equal = 0
  let largestGap = 0
  expected.forEach((one, k) => {
    const other = got[k]!
    total += computeDivergence(one, other)
    equal += selectGreedy(one) === selectGreedy(other) ? 1 : 0
    for (let i = 0; i < one.length; i++)
      largestGap = Math.max(largestGap, Math.abs(one[i]! - other[i]!))
  })
  const prompts = expected.length
  return {
    prompts,
    meanDivergence: total / Math.max(1, prompts),
    largestGap,
    equalGreedy: prompts > 0 ? equal / prompts : 1,
  }
}
