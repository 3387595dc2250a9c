// Lion: every parameter changes by ± the learning rate. Chen et al. 2023, arXiv:2302.06675,
// algorithm 2.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Optimizer } from './optimizer.ts'

const options = {
  beta1: number({
    default: 0.9,
    from: 0,
    below: 1,
    about: 'weight of the mean gradient in the direction of a step',
  }),
  beta2: number({
    default: 0.99,
    from: 0,
    below: 1,
    about: 'how much of the mean gradient is kept',
  }),
  weightDecay: number({
    default: 0,
    from: 0,
    about: 'share of the weights subtracted at a step, times the learning rate',
  }),
}

export type LionSettings = OptionValues<typeof options>

/**
 * As the paper's algorithm:
 *
 *     w ← w·(1 − lr·decay) − lr·sign(β₁·m + (1 − β₁)·g)    m ← β₂·m + (1 − β₂)·g
 */
export const lion: Optimizer<LionSettings> = {
  name: 'lion',
  about: 'steps of equal size, by the sign of the momentum; keeps one moment',
  options,
  complete: (given) => readOptions('Lion', given, options),
  stateShapes: (shape) => ({ mean: shape }),
  update({ parameter, gradient, state, learningRate }, { beta1, beta2, weightDecay }) {
    const mean = state['mean']!
    const keep = 1 - learningRate * weightDecay
    const size = parameter.length
    for (let i = 0; i < size; i++) {
      const g = gradient[i]!
      const m = mean[i]!
      parameter[i] = parameter[i]! * keep - learningRate * Math.sign(beta1 * m + (1 - beta1) * g)
      mean[i] = beta2 * m + (1 - beta2) * g
    }
  },
}
