// SimPO: preferences without a reference, by mean log-probabilities and a margin to reach. Meng et
// al. 2024, arXiv:2405.14734.

import { type OptionTable, type OptionValues, readOptions } from '../../option-table.ts'
import type { Loss } from './loss.ts'
import { margins, meanOfPairs, number, pairFeeds, pairsRateFactor, reportPairs } from './pairs.ts'

const options = {
  beta: { type: 'number', default: 2, above: 0, about: 'scale of the margin' },
  gamma: {
    type: 'number',
    default: 1,
    least: 0,
    about: 'how far the chosen row should be ahead, times beta',
  },
} as const satisfies OptionTable

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
    const scaled = g.scale(margins(g, logits), beta) // [P]
    return {
      loss: meanOfPairs(g, g.op('softplus', [g.subtract(number(g, gamma), scaled)])),
      margins: scaled,
    }
  },
  feeds: (batch) => pairFeeds(batch, { means: true }),
  report: reportPairs,
}
