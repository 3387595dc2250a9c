// From a reward to ∂L/∂y: L = −advantage · log π(emitted | y), the policy gradient
// (Williams 1992, REINFORCE). Independent of: weights.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'

/** π = N(y, σ²): ∂L/∂y = −advantage·(emitted − y)/σ², over y in place. Gives L up to a constant. */
function computeGaussianGradient(
  y: Float32Array,
  emitted: Float32Array,
  advantage: number,
  deviation: number,
): number {
  const share = advantage / (deviation * deviation)
  let squared = 0
  for (let i = 0; i < y.length; i++) {
    const difference = y[i]! - emitted[i]!
    squared += difference * difference
    y[i] = share * difference
  }
  return 0.5 * share * squared
}

/** π = softmax(y): ∂L/∂y = advantage·(softmax(y) − onehot(chosen)), over y in place. Gives L. */
function computeCategoricalGradient(y: Float32Array, chosen: number, advantage: number): number {
  let most = -Infinity
  let sum = 0
  for (const value of y) most = Math.max(most, value)
  for (const value of y) sum += Math.exp(value - most)
  const loss = -advantage * (y[chosen]! - most - Math.log(sum))
  for (let i = 0; i < y.length; i++) y[i] = (advantage * Math.exp(y[i]! - most)) / sum
  y[chosen]! -= advantage
  return loss
}

/**
 * Turns the output in `y` into ∂L/∂y and returns L. Throws where `emitted` is no output or class of
 * this length.
 */
export function computePolicyGradient(
  y: Float32Array,
  emitted: Float32Array | number,
  advantage: number,
  deviation: number,
): number {
  if (typeof emitted === 'number') {
    if (!Number.isInteger(emitted) || emitted < 0 || emitted >= y.length)
      throw new OptionError(
        `feedback: emitted: got class ${emitted}, expected an integer from 0 to ${y.length - 1}.`,
      )
    return computeCategoricalGradient(y, emitted, advantage)
  }
  if (!(emitted instanceof Float32Array) || emitted.length !== y.length)
    throw new ShapeError(
      `feedback: emitted: got ${emitted?.length} values, expected ${y.length} in a Float32Array.`,
    )
  const loss = computeGaussianGradient(y, emitted, advantage, deviation)
  if (!Number.isFinite(loss))
    throw new NumericError(
      'feedback: emitted contains NaN or infinite values; nothing was changed.',
    )
  return loss
}
