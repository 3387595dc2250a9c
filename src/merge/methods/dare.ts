// DARE: drop entries at random and scale up the rest, so that every ΔW keeps its expectation. Yu et
// al. 2023, arXiv:2311.03099.

import { random } from '../../base/random.ts'
import { addWeighted, computeElectedMean } from '../sign-election.ts'
import type { EntriesInput, EntryMethod } from '../method.ts'

/**
 * Keeps each entry with probability `density`, divided by it; one stream of random numbers for each
 * adapter.
 */
function createDropper({
  count,
  recipe: { density },
  seedOf,
}: EntriesInput): (rows: readonly Float32Array[]) => void {
  if (density >= 1) return () => {}
  const generators = Array.from({ length: count }, (_, k) => random(seedOf(k)))
  return (rows) =>
    rows.forEach((row, k) => {
      const { uniform } = generators[k]!
      for (let i = 0; i < row.length; i++) row[i] = uniform() < density ? row[i]! / density : 0
    })
}

const shared = {
  space: 'entries',
  held: 1,
  promises: { anyOrder: false, oneIsItself: false },
} as const

export const dareLinear: EntryMethod = {
  ...shared,
  name: 'dare-linear',
  // the paper's own method; mergekit and PEFT call it dare_linear
  aliases: ['dare'],
  formula: 'Σ w·ΔW·m/p, m = 1 with probability p = density',
  summary: 'Drop entries at random, scale up the rest, then Σ w·ΔW: on average the plain sum.',
  options: ['weights', 'normalize', 'density', 'rank', 'energy', 'seed'],
  prepare(entries) {
    const { weights } = entries.recipe
    const drop = createDropper(entries)
    return (rows, out) => {
      drop(rows)
      addWeighted(rows, weights, out)
    }
  },
}

export const dareTies: EntryMethod = {
  ...shared,
  name: 'dare-ties',
  formula: 'ties of t = ΔW·m/p, m = 1 with probability p = density',
  summary: "Drop entries at random, scale up the rest, then TIES' sign election and mean.",
  options: ['weights', 'density', 'rank', 'energy', 'seed'],
  positiveWeights: true,
  prepare(entries) {
    const { weights } = entries.recipe
    const drop = createDropper(entries)
    return (rows, out) => {
      drop(rows)
      computeElectedMean(rows, weights, out)
    }
  },
}
