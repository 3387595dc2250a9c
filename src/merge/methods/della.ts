// DELLA: DARE with a memory for size: large entries of a row are kept more often. Deep et al. 2024,
// arXiv:2406.11617.

import { random, type Random } from '../../base/random.ts'
import { computeElectedMean } from '../sign-election.ts'
import type { EntryMethod } from '../method.ts'
import { toBits } from '../magnitude-threshold.ts'

/**
 * Column numbers fit below this, magnitudes (31 bits) above: one number sorts by magnitude and
 * remembers its column.
 */
const columnLimit = 2 ** 21

/**
 * Keeps the entry of rank n among the row's N magnitudes (0: smallest) with p = density − ε +
 * 2ε·n/(N − 1), divided by p.
 */
function dropBySize(
  row: Float32Array,
  density: number,
  epsilon: number,
  keys: Float64Array,
  { uniform }: Random,
): void {
  const bits = toBits(row)
  for (let i = 0; i < row.length; i++) keys[i] = (bits[i]! & 0x7fffffff) * columnLimit + i
  keys.sort()
  for (let n = 0; n < keys.length; n++) {
    const column = keys[n]! % columnLimit
    const kept = density - epsilon + 2 * epsilon * (keys.length === 1 ? 0.5 : n / (keys.length - 1))
    row[column] = uniform() < kept ? row[column]! / kept : 0
  }
}

export const della: EntryMethod = {
  name: 'della',
  formula: 'ties of t = ΔW·m/p, m = 1 with p = density ± epsilon by rank of |ΔW| in its row',
  summary:
    "Drop entries at random, small ones of a row more often, scale up the rest, then TIES' sign election and mean.",
  options: ['weights', 'density', 'epsilon', 'rank', 'energy', 'seed'],
  promises: { anyOrder: false, oneIsItself: false },
  positiveWeights: true,
  space: 'entries',
  held: 1,
  prepare({ count, columns, seedOf, recipe: { weights, density, epsilon } }) {
    const generators = Array.from({ length: count }, (_, k) => random(seedOf(k)))
    const keys = new Float64Array(columns)
    const dropRows = (values: Float32Array, k: number): void => {
      for (let start = 0; start < values.length; start += columns)
        dropBySize(values.subarray(start, start + columns), density, epsilon, keys, generators[k]!)
    }
    return (rows, out) => {
      if (density < 1) rows.forEach(dropRows)
      computeElectedMean(rows, weights, out)
    }
  },
}
