// TIES: trim the small entries, elect a sign for each entry, average those that agree. Yadav et al.
// 2023, arXiv:2306.01708.

import { computeElectedMean } from '../sign-election.ts'
import type { EntriesInput, EntryMethod } from '../method.ts'
import { computeDensityThreshold, trimBelow } from '../magnitude-threshold.ts'

/** Bits from which each adapter's entries stay at this density; none where all do. */
export function computeThresholds({
  count,
  recipe: { density },
  scan,
}: EntriesInput): readonly number[] {
  if (density >= 1) return []
  const thresholds = Array.from({ length: count }, () => 0)
  scan((k, values) => (thresholds[k] = computeDensityThreshold(values, density)))
  return thresholds
}

/** Trims rows of every adapter in place to the density of its whole ΔW. */
export function createTrimmer(entries: EntriesInput): (rows: readonly Float32Array[]) => void {
  const thresholds = computeThresholds(entries)
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
    const thresholds = computeThresholds(entries)
    return (rows, out) => computeElectedMean(rows, weights, out, thresholds)
  },
}
