// Breadcrumbs: the very largest entries are dropped as outliers, the smallest as noise. Davari and
// Belilovsky 2023, arXiv:2312.06795.

import { addWeighted } from '../sign-election.ts'
import type { EntryMethod } from '../method.ts'
import { countKept, computeThresholdBits, trimBelow, trimFrom } from '../magnitude-threshold.ts'

/** No magnitude has more bits. */
const nothing = 0x7fffffff

/**
 * Bits from which entries count as outliers, and below which as noise: `density` of them are
 * between, fewer outliers where it leaves no room.
 */
function computeBounds(
  values: Float32Array,
  density: number,
  gamma: number,
): { top: number; bottom: number } {
  const kept = countKept(values.length, density)
  const outliers = Math.min(Math.floor(gamma * values.length), values.length - kept)
  return {
    top: outliers === 0 ? nothing : computeThresholdBits(values, outliers),
    bottom: outliers + kept >= values.length ? 0 : computeThresholdBits(values, outliers + kept),
  }
}

export const breadcrumbs: EntryMethod = {
  name: 'breadcrumbs',
  formula: 'Σ w·ΔW·[|ΔW| below the top gamma, above the lowest 1 − gamma − density]',
  summary:
    'Drop the largest entries (a share gamma) and the smallest of each ΔW, so that a share density stays, then Σ w·ΔW.',
  options: ['weights', 'normalize', 'density', 'gamma', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  space: 'entries',
  held: 2,
  prepare({ count, scan, recipe: { weights, density, gamma } }) {
    const limits = Array.from({ length: count }, () => ({ top: nothing, bottom: 0 }))
    if (density < 1) scan((k, values) => (limits[k] = computeBounds(values, density, gamma)))
    return (rows, out) => {
      rows.forEach((row, k) => {
        trimBelow(row, limits[k]!.bottom)
        trimFrom(row, limits[k]!.top)
      })
      addWeighted(rows, weights, out)
    }
  },
}
