// A data set in numbers: counts of examples by label, and their qualities.

import { type AdapterDataset, countExamples, requireDataset } from './adapter-dataset.ts'
import { groupDuplicates } from './duplicates.ts'

export interface LabelCount {
  readonly count: number
  readonly meanQuality: number
}

export interface DatasetStatistics {
  readonly level: AdapterDataset['level']
  readonly examples: number
  readonly quality: {
    readonly mean: number
    readonly deviation: number
    readonly least: number
    readonly most: number
  }
  /** Examples with a quality from 0 to below 0.1, from 0.1 to below 0.2, …, from 0.9 to 1. */
  readonly qualityTenths: readonly number[]
  /** By label; examples without one under ''. */
  readonly tasks: ReadonlyMap<string, LabelCount>
  readonly domains: ReadonlyMap<string, LabelCount>
  /** Different group keys; examples without one count as none. */
  readonly groups: number
  /** Examples that only repeat an earlier one: equal words, or equal inputs. */
  readonly duplicates: number
  /** Of vectors. */
  readonly width?: number
  /** Of texts: characters of the rows as JSON. */
  readonly meanCharacters?: number
}

function countBy(
  labels: readonly (string | undefined)[],
  quality: Float32Array,
): Map<string, LabelCount> {
  const sums = new Map<string, { count: number; quality: number }>()
  labels.forEach((label = '', i) => {
    const sum = sums.get(label) ?? { count: 0, quality: 0 }
    sums.set(label, { count: sum.count + 1, quality: sum.quality + quality[i]! })
  })
  return new Map(
    [...sums].map(([label, sum]) => [
      label,
      { count: sum.count, meanQuality: sum.quality / sum.count },
    ]),
  )
}

function computeSpread(values: Float32Array): DatasetStatistics['quality'] {
  let sum = 0
  let squares = 0
  let least = Infinity
  let most = -Infinity
  for (const value of values) {
    sum += value
    squares += value * value
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  const mean = sum / values.length
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, squares / values.length - mean * mean)),
    least,
    most,
  }
}

/** Counts and qualities of a data set that has at least one example. */
export function computeDatasetStatistics(dataset: AdapterDataset): DatasetStatistics {
  requireDataset('computeDatasetStatistics', dataset)
  const { quality, tasks, domains, groups, level } = dataset
  const examples = countExamples(dataset)
  const tenths = Array.from({ length: 10 }, () => 0)
  // 0.9 in f32 is just below 0.9
  for (const value of quality) tenths[Math.min(9, Math.floor(value * 10 + 1e-5))]!++
  return {
    level,
    examples,
    quality: computeSpread(quality),
    qualityTenths: tenths,
    tasks: countBy(tasks, quality),
    domains: countBy(domains, quality),
    groups: new Set(groups.filter((group) => group !== undefined)).size,
    duplicates: examples - new Set(groupDuplicates(dataset)).size,
    ...(dataset.level === 'embedding'
      ? { width: dataset.width }
      : {
          meanCharacters:
            dataset.rows.reduce((sum, row) => sum + JSON.stringify(row).length, 0) / examples,
        }),
  }
}
