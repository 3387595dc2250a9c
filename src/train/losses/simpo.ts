// SimPO: preferences without a reference, by mean log-probabilities and a margin to reach. Meng et
// al. 2024, arXiv:2405.14734.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Loss } from './loss.ts'
import {
  buildMargins,
  buildPairMean,
  buildConstant as createNumber,
  computePairFeeds,
  pairsRateFactor,
  reportPairs,
} from './pairs.ts'

const options = {
  beta: number({ default: 2, above: 0, about: 'scale of the margin' }),
  gamma: number({
    default: 1,
    from: 0,
    about: 'margin by which the chosen row should lead, times beta',
  }),
}

/**
 * loss = mean of softplus(γ − β·margin), margins of mean log-probabilities per token. As TRL's CPO
 * with loss_type "simpo".
 */
export const simpo: Loss<OptionValues<typeof options>> = {
  name: 'simpo',
  about: 'pairs, without a reference: −log σ(β·margin − γ), margins per token',
  options,
  learnsFrom: 'pairs',
  rateFactor: pairsRateFactor,
  complete: (given) => readOptions('SimPO', given, options),
  graph(g, logits, { beta, gamma }) {
    const scaled = g.scale(buildMargins(g, logits), beta) // [P]
    return {
      loss: buildPairMean(g, g.op('softplus', [g.subtract(createNumber(g, gamma), scaled)])),
      margins: scaled,
    }
  },
  feeds: (batch) => computePairFeeds(batch, { means: true }),
  report: reportPairs,
}
