// TIES: trim the small entries, elect a sign for each entry, average those that agree. Yadav et al.
// 2023, arXiv:2306.01708.

import { electedMean } from '../sign-election.ts'
import type { Entries, EntryMethod } from '../method.ts'
import { densityThreshold, trimBelow } from '../magnitude-threshold.ts'

/** Bits from which each adapter's entries stay at this density; none where all do. */
export function thresholdsOf({ count, recipe: { density }, scan }: Entries): readonly number[] {
  if (density >= 1) return []
  const thresholds = Array.from({ length: count }, () => 0)
  scan((k, values) => (thresholds[k] = densityThreshold(values, density)))
  return thresholds
}

/** Trims rows of every adapter in place to the density of its whole ΔW. */
export function trimmer(entries: Entries): (rows: readonly Float32Array[]) => void {
  const thresholds = thresholdsOf(entries)
  return (rows) => thresholds.forEach((threshold, k) => trimBelow(rows[k]!, threshold))
}

export const ties: EntryMethod = {
  name: 'ties',
  formula: 't = trim(ΔW), s = sign Σ w·t: Σ w·t·[sign t = s] / Σ w·[sign t = s]',
  summary:
    'Keep the largest entries of each ΔW, elect the sign of their weighted sum, average those of that sign by weight.',
  options: ['weights', 'density', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  positiveWeights: true,
  space: 'entries',
  held: 2,
  prepare(entries) {
    const { weights } = entries.recipe
    const thresholds = thresholdsOf(entries)
    return (rows, out) => electedMean(rows, weights, out, thresholds)
  },
}
