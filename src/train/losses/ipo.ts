// IPO: a squared distance instead of a sigmoid, so that the margin stays bounded on pairs that are
// certain. Azar et al. 2023, arXiv:2310.12036.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Loss } from './loss.ts'
import {
  buildMargins,
  buildPairMean,
  buildConstant as createNumber,
  computePairFeeds,
  pairsRateFactor,
  buildReferenceMargins,
  referencePass,
  reportPairs,
} from './pairs.ts'

const options = {
  beta: number({ default: 0.1, above: 0, about: 'the margin aimed at is 1/(2·beta)' }),
}

/**
 * loss = mean of (margin − the reference's margin − 1/(2β))², margins of mean log-probabilities per
 * token. As TRL's loss_type "ipo".
 */
export const ipo: Loss<OptionValues<typeof options>> = {
  name: 'ipo',
  about: 'pairs: (margin − the reference’s margin − 1/(2β))², margins per token',
  options,
  learnsFrom: 'pairs',
  rateFactor: pairsRateFactor,
  complete: (given) => readOptions('IPO', given, options),
  graph(g, logits, { beta }) {
    const gained = g.subtract(buildMargins(g, logits), buildReferenceMargins(g)) // [P]
    const missing = g.subtract(gained, createNumber(g, 1 / (2 * beta)))
    return { loss: buildPairMean(g, g.multiply(missing, missing)), margins: g.scale(gained, beta) }
  },
  frozen: () => referencePass,
  feeds: (batch) => computePairFeeds(batch, { means: true }),
  report: reportPairs,
}
