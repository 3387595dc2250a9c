// TIES: trim the small entries, elect a sign for each entry, average those that agree. Yadav et al. 2023, arXiv:2306.01708.

import { electedMean } from '../elect.ts'
import type { Entries, EntryMethod } from '../method.ts'
import { densityThreshold, trimBelow } from '../trim.ts'

/** Trims rows of every adapter in place to the density of its whole ΔW. */
export function trimmer({ count, recipe: { density }, scan }: Entries): (rows: readonly Float32Array[]) => void {
  if (density >= 1) return () => {}
  const thresholds = Array.from({ length: count }, () => 0)
  scan((k, values) => (thresholds[k] = densityThreshold(values, density)))
  return (rows) => rows.forEach((row, k) => trimBelow(row, thresholds[k]!))
}

export const ties: EntryMethod = {
  name: 'ties',
  summary: 'Keep the largest entries of each ΔW, elect the sign of their weighted sum, average those of that sign by weight.',
  options: ['weights', 'density', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  positiveWeights: true,
  space: 'entries',
  held: 2,
  prepare(entries) {
    const { weights } = entries.recipe
    const trim = trimmer(entries)
    return (rows, out) => {
      trim(rows)
      electedMean(rows, weights, out)
    }
  },
}
