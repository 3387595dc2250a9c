// PEFT's ties_svd: on ΔW like `ties`, but with PEFT's election, which looks at no weights, and its
// mean, which divides by a count.

import type { EntryMethod } from '../method.ts'
import { computePeftDisjointMean } from './peft.ts'
import { createTrimmer } from './ties.ts'

export const peftTiesSvd: EntryMethod = {
  name: 'peft-ties-svd',
  formula: 't = trim(ΔW), s = sign Σ t: Σ w·t·[sign t = s] / Σ [sign t = s]',
  summary: 'Trim each ΔW, elect signs without weights, divide by the count of those that agree.',
  options: ['weights', 'density', 'majority', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  space: 'entries',
  held: 2,
  prepare(entries) {
    const { recipe } = entries
    const trim = createTrimmer(entries)
    return (rows, out) => {
      trim(rows)
      out.set(computePeftDisjointMean(rows, recipe.weights, recipe))
    }
  },
}
