// Rejection sampling: only sampled answers with a sufficient reward are learned. As the first stage
// of Llama 2's (Touvron et al. 2023, arXiv:2307.09288, section 3.2.3) and RAFT (Dong et al. 2023,
// arXiv:2304.06767).

import { number, type OptionValues, readOptions } from '../../base/schema.ts'
import { buildTokenLosses, buildWeightedSum } from './cross-entropy.ts'
import { computeTokenValues } from './graded.ts'
import { collectValues, type Loss } from './loss.ts'

const options = {
  least: number({ default: 0.5, about: 'smallest reward at which an answer is learned' }),
}

/** loss = Σ_m w_m·[reward ≥ least]·(−log p(label_m)) */
export const rejection: Loss<OptionValues<typeof options>> = {
  name: 'rejection',
  about: 'graded answers: −log p of the tokens of those whose reward is high enough',
  options,
  learnsFrom: 'graded',
  complete: (given) => readOptions('Rejection sampling', given, options),
  graph(g, logits) {
    const kept = g.input('graded.kept', 'f32', ['M'])
    const lost = g.multiply(buildTokenLosses(g, logits), kept)
    return { loss: buildWeightedSum(g, lost), kept: g.scale(kept, 1) }
  },
  feeds: (batch, { least }) =>
    new Map([
      ['graded.kept', computeTokenValues(batch, ({ reward }) => (reward >= least ? 1 : 0))],
    ]),
  report(outputs) {
    const kept = collectValues(outputs, 'kept')
    return { kept: kept.reduce((sum, value) => sum + value, 0) / Math.max(1, kept.length) }
  },
}
