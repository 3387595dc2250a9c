// AdamW: Adam with weight decay decoupled from the gradient. Loshchilov and Hutter 2019,
// arXiv:1711.05101.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Optimizer } from './optimizer.ts'

const options = {
  beta1: number({
    default: 0.9,
    from: 0,
    below: 1,
    about: 'how much of the mean gradient is kept',
  }),
  beta2: number({
    default: 0.999,
    from: 0,
    below: 1,
    about: 'how much of the mean squared gradient is kept',
  }),
  epsilon: number({ default: 1e-8, from: 0, about: 'added to the root of the mean square' }),
  weightDecay: number({
    default: 0,
    from: 0,
    about: 'share of the weights subtracted at a step, times the learning rate',
  }),
}

export type AdamWSettings = OptionValues<typeof options>

/**
 * As torch.optim.AdamW:
 *
 *     w ← w·(1 − lr·decay)    m ← m + (1 − β₁)(g − m)    v ← β₂·v + (1 − β₂)·g²
 *     w ← w − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 */
export const adamw: Optimizer<AdamWSettings> = {
  name: 'adamw',
  about: 'per-parameter adaptive steps; keeps two moments',
  options,
  complete: (given) => readOptions('AdamW', given, options),
  stateShapes: (shape) => ({ mean: shape, square: shape }),
  update(
    { parameter, gradient, state, step, learningRate },
    { beta1, beta2, epsilon, weightDecay },
  ) {
    const mean = state['mean']!
    const square = state['square']!
    const keep = 1 - learningRate * weightDecay
    const rate = learningRate / (1 - beta1 ** step)
    const rootScale = 1 / Math.sqrt(1 - beta2 ** step)
    const toMean = 1 - beta1
    const toSquare = 1 - beta2
    const size = parameter.length // read once: an access in the loop doubles its time
    for (let i = 0; i < size; i++) {
      const g = gradient[i]!
      const m = mean[i]! + (g - mean[i]!) * toMean
      const v = square[i]! * beta2 + g * g * toSquare
      mean[i] = m
      square[i] = v
      parameter[i] = parameter[i]! * keep - (rate * m) / (Math.sqrt(v) * rootScale + epsilon)
    }
  },
}
