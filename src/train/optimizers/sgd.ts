// Stochastic gradient descent, with momentum, and Nesterov's form of it. Sutskever et al. 2013, "On
// the importance of initialization and momentum".

import { OptionError } from '../../base/errors.ts'
import { flag, number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Optimizer } from './optimizer.ts'

const options = {
  momentum: number({
    default: 0.9,
    from: 0,
    below: 1,
    about: 'momentum: the share of the last step in the next; 0: none',
  }),
  nesterov: flag({ default: false, about: 'Nesterov momentum' }),
  weightDecay: number({ default: 0, from: 0, about: 'share of a weight added to its gradient' }),
}

export type SgdSettings = OptionValues<typeof options>

/**
 * As torch.optim.SGD, without dampening:
 *
 *     g ← g + decay·w    b ← μ·b + g    w ← w − lr·b        nesterov: w ← w − lr·(g + μ·b)
 */
export const sgd: Optimizer<SgdSettings> = {
  name: 'sgd',
  about: 'stochastic gradient descent with momentum; keeps one moment',
  options,
  complete(given) {
    const settings = readOptions('SGD', given, options)
    if (settings.nesterov && settings.momentum === 0)
      throw new OptionError('SGD: nesterov needs a momentum above 0, got 0.')
    return settings
  },
  stateShapes: (shape, { momentum }) => (momentum > 0 ? { momentum: shape } : {}),
  update({ parameter, gradient, state, learningRate }, { momentum, nesterov, weightDecay }) {
    const buffer = state['momentum']
    const size = parameter.length
    for (let i = 0; i < size; i++) {
      const g = gradient[i]! + weightDecay * parameter[i]!
      if (!buffer) {
        parameter[i] = parameter[i]! - learningRate * g
        continue
      }
      const b = momentum * buffer[i]! + g
      buffer[i] = b
      parameter[i] = parameter[i]! - learningRate * (nesterov ? g + momentum * b : b)
    }
  },
}
