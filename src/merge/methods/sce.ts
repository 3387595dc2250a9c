// SCE: select the entries in which the adapters differ most, calculate their weights from what is
// left of them, erase the minority's signs. Wan et al. 2024, arXiv:2408.07990; numbers as in
// mergekit.

import { computeElectedMean } from '../sign-election.ts'
import type { EntriesInput, EntryMethod } from '../method.ts'
import { computeDensityThreshold, computeThresholdBits, trimBelow } from '../magnitude-threshold.ts'

/**
 * The variance of every entry over the adapters, in f32: all that has to be known of all entries at
 * once.
 */
function computeVariances({ count, size, blocks }: EntriesInput): Float32Array {
  const result = new Float32Array(size)
  blocks((rows, start) => {
    for (let i = 0; i < rows[0]!.length; i++) {
      let sum = 0
      let squares = 0
      for (let k = 0; k < count; k++) sum += rows[k]![i]!
      for (let k = 0; k < count; k++) squares += (rows[k]![i]! - sum / count) ** 2
      result[start + i] = squares / count
    }
  })
  return result
}

/** Bits of the variance from which an entry is selected: a share of those that are not zero. */
function computeSelectionThreshold(variance: Float32Array, density: number): number {
  const differing = variance.reduce((count, value) => count + (value > 0 ? 1 : 0), 0)
  if (differing === variance.length) return computeDensityThreshold(variance, density)
  return differing === 0
    ? 0
    : computeThresholdBits(variance, Math.max(1, Math.floor(density * differing)))
}

/** Zeroes rows where the variance was not selected. */
function zeroUnselected(rows: readonly Float32Array[], selected: Float32Array): void {
  for (const row of rows) for (let i = 0; i < row.length; i++) if (selected[i] === 0) row[i] = 0
}

export const sce: EntryMethod = {
  name: 'sce',
  formula: 't = ΔW where the variance is largest, w = Σ t² / Σ Σ t²: the sum of ties',
  summary:
    "Keep the entries that vary most among the adapters, weigh each adapter by its share of their squares, then TIES' election and mean.",
  options: ['density', 'rank', 'energy'],
  promises: { anyOrder: true, oneIsItself: false },
  space: 'entries',
  held: 1,
  prepare(entries) {
    const { count, blocks, recipe } = entries
    const selective = recipe.density < 1
    const variance = selective ? computeVariances(entries) : new Float32Array(0)
    if (selective) trimBelow(variance, computeSelectionThreshold(variance, recipe.density))
    const squares = new Float64Array(count)
    blocks((rows, start) => {
      if (selective) zeroUnselected(rows, variance.subarray(start, start + rows[0]!.length))
      rows.forEach((row, k) => (squares[k]! += row.reduce((sum, value) => sum + value * value, 0)))
    })
    const total = squares.reduce((sum, value) => sum + value, 0)
    const weights = Array.from(squares, (value) => (total > 0 ? value / total : 1 / count))
    let start = 0
    return (rows, out) => {
      if (selective) zeroUnselected(rows, variance.subarray(start, start + out.length))
      start += out.length
      computeElectedMean(rows, weights, out)
    }
  },
}
