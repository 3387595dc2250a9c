// How far a step of A and B moves the product B·A, and the largest share of the step within a bound.
// Independent of gradients and optimisers.

import type { LowRankPair } from '../kernels/head-update.ts'

/** Σ over all entries of (B₁·A₁) ⊙ (B₂·A₂), without either product: Σ (B₁ᵀB₂) ⊙ (A₁A₂ᵀ). */
function computeInnerProduct(one: LowRankPair, two: LowRankPair, rank: number): number {
  const inFeatures = one.A.length / rank
  const outFeatures = one.B.length / rank
  let total = 0
  for (let i = 0; i < rank; i++) {
    for (let j = 0; j < rank; j++) {
      let left = 0
      let right = 0
      for (let row = 0; row < outFeatures; row++)
        left += one.B[row * rank + i]! * two.B[row * rank + j]!
      for (let column = 0; column < inFeatures; column++)
        right += one.A[i * inFeatures + column]! * two.A[j * inFeatures + column]!
      total += left * right
    }
  }
  return total
}

/**
 * ‖(B + s·dB)·(A + s·dA) − B·A‖ (Frobenius) as a function of s: s·X + s²·Y with X = dB·A + B·dA and
 * Y = dB·dA, so three numbers determine it for every s.
 */
export function createChangeNorm(
  { A, B }: LowRankPair,
  step: LowRankPair,
  rank: number,
): (share: number) => number {
  const first = { A, B: step.B }
  const second = { A: step.A, B }
  const xx =
    computeInnerProduct(first, first, rank) +
    2 * computeInnerProduct(first, second, rank) +
    computeInnerProduct(second, second, rank)
  const xy = computeInnerProduct(first, step, rank) + computeInnerProduct(second, step, rank)
  const yy = computeInnerProduct(step, step, rank)
  return (share) => Math.sqrt(Math.max(0, share ** 2 * (xx + share * (2 * xy + share * yy))))
}

/** The largest share of a step, 1 at most, that changes the product by no more than `limit`. */
export function findStepScale(change: (share: number) => number, limit: number): number {
  if (change(1) <= limit) return 1
  let low = 0
  let high = 1
  for (let tries = 0; tries < 30; tries++) {
    const middle = (low + high) / 2
    if (change(middle) > limit) high = middle
    else low = middle
  }
  return low
}
