// exp of the mean cross-entropy of the target tokens, all with the same weight.

import type { Metric } from '../metric.ts'

export const perplexity: Metric = {
  name: 'perplexity',
  about: 'exp of the mean cross-entropy of the tokens that would be learned',
  needs: 'loss',
  kind: 'mean',
  better: 'lower',
  score: ({ loss }) => ({ value: loss!.sum, weight: loss!.tokens }),
  transform: Math.exp,
}
