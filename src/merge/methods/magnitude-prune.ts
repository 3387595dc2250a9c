// Magnitude pruning: small entries are dropped from each ΔW before they are summed.

import { addWeighted } from '../sign-election.ts'
import type { EntryMethod } from '../method.ts'
import { createTrimmer } from './ties.ts'

export const magnitudePrune: EntryMethod = {
  name: 'magnitude-prune',
  formula: 'Σ w·trim(ΔW)',
  summary: "Keep the largest entries of each ΔW, then Σ w·ΔW (PEFT's magnitude_prune_svd).",
  options: ['weights', 'normalize', 'density', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  space: 'entries',
  held: 2,
  prepare(entries) {
    const { weights } = entries.recipe
    const trim = createTrimmer(entries)
    return (rows, out) => {
      trim(rows)
      addWeighted(rows, weights, out)
    }
  },
}
