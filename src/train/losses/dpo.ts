// DPO: direct preference optimisation. Rafailov et al. 2023, arXiv:2305.18290; label smoothing as
// cDPO (Mitchell 2023).

import { flag, number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Loss } from './loss.ts'
import {
  buildMargins,
  buildPairMean,
  computePairFeeds,
  pairsRateFactor,
  buildReferenceMargins,
  referencePass,
  reportPairs,
} from './pairs.ts'

const options = {
  beta: number({
    default: 0.1,
    above: 0,
    about: 'β: larger values keep the expert closer to the reference',
  }),
  labelSmoothing: number({
    default: 0,
    from: 0,
    below: 0.5,
    about: 'share of the pairs that are assumed to be reversed',
  }),
  referenceFree: flag({
    default: false,
    about: 'assume that the reference finds both rows equally likely',
  }),
}

/**
 * h = β·((log π(c) − log π(r)) − (log ρ(c) − log ρ(r))), ρ the reference; loss = mean of (1 −
 * ε)·softplus(−h) + ε·softplus(h) = softplus(−h) + ε·h. As TRL's loss_type "sigmoid".
 */
export const dpo: Loss<OptionValues<typeof options>> = {
  name: 'dpo',
  about:
    'pairs: −log σ(β·(margin − the reference’s margin)), margin = log π(chosen) − log π(rejected)',
  options,
  learnsFrom: 'pairs',
  rateFactor: pairsRateFactor,
  complete: (given) => readOptions('DPO', given, options),
  graph(g, logits, { beta, labelSmoothing, referenceFree }) {
    const margin = buildMargins(g, logits)
    // h, [P]
    const gained = g.scale(
      referenceFree ? margin : g.subtract(margin, buildReferenceMargins(g)),
      beta,
    )
    const lost = g.op('softplus', [g.scale(gained, -1)])
    return {
      loss: buildPairMean(
        g,
        labelSmoothing > 0 ? g.add(lost, g.scale(gained, labelSmoothing)) : lost,
      ),
      margins: gained,
    }
  },
  frozen: ({ referenceFree }) => (referenceFree ? undefined : referencePass),
  feeds: (batch) => computePairFeeds(batch),
  report: reportPairs,
}
