// Confidence intervals and significance tests over rows. Pure and seeded; independent of the
// metric.

import { random } from '../base/random.ts'
import type { ExampleScore } from './metric.ts'

export interface ConfidenceInterval {
  readonly low: number
  readonly high: number
}

const z95 = 1.959963984540054 // the normal distribution's 97.5 % point

/** Wilson's 95 % interval of a share: `hits` of `rows`. Wilson 1927, JASA 22:209. */
export function computeWilsonInterval(hits: number, rows: number): ConfidenceInterval {
  if (rows === 0) return { low: 0, high: 1 }
  const share = hits / rows
  const scale = 1 + z95 ** 2 / rows
  const middle = (share + z95 ** 2 / (2 * rows)) / scale
  const half = (z95 / scale) * Math.sqrt((share * (1 - share)) / rows + z95 ** 2 / (4 * rows ** 2))
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}

/** Σ values / Σ weights. */
export function computeMean(scores: readonly ExampleScore[]): number {
  let sum = 0
  let weight = 0
  for (const score of scores) {
    sum += score.value
    weight += score.weight ?? 1
  }
  return sum / weight
}

/** Samples of a bootstrap and of a randomisation test. */
const samples = 2000

/** The middle 95 % of values that are sorted. */
const computePercentileInterval = (sorted: Float64Array): ConfidenceInterval => ({
  low: sorted[Math.floor(0.025 * (sorted.length - 1))]!,
  high: sorted[Math.ceil(0.975 * (sorted.length - 1))]!,
})

/**
 * 95 % percentile bootstrap over rows of `statistic`, which is given row numbers drawn with
 * replacement. Efron 1979, Annals of Statistics 7:1.
 */
export function bootstrap(
  rows: number,
  seed: number,
  statistic: (drawn: Uint32Array) => number,
): ConfidenceInterval {
  const { integer } = random(seed)
  const drawn = new Uint32Array(rows)
  const values = Float64Array.from({ length: samples }, () => {
    for (let i = 0; i < rows; i++) drawn[i] = integer(rows)
    return statistic(drawn)
  })
  return computePercentileInterval(values.sort())
}

/** The weighted mean of drawn rows. */
export function computeSampleMean(scores: readonly ExampleScore[], drawn: Uint32Array): number {
  let sum = 0
  let weight = 0
  for (const row of drawn) {
    const score = scores[row]!
    sum += score.value
    weight += score.weight ?? 1
  }
  return sum / weight
}

/**
 * Two-sided p-value of McNemar's exact test: of the rows that only one of two got right, each is
 * equally likely to be either's. 1 if there are none. McNemar 1947, Psychometrika 12:153.
 */
export function computeMcnemarPValue(onlyFirst: number, onlySecond: number): number {
  const rows = onlyFirst + onlySecond
  const fewer = Math.min(onlyFirst, onlySecond)
  let term = rows * Math.log(0.5)
  let sum = 0 // ln of C(rows, 0) / 2^rows
  for (let k = 0; k <= fewer; k++) {
    sum += Math.exp(term)
    term += Math.log((rows - k) / (k + 1))
  }
  return Math.min(1, 2 * sum)
}

/**
 * Two-sided p-value of a paired randomisation test: how often a difference as large as the measured
 * one comes up when each row's two scores are swapped by the toss of a coin. Noreen 1989; for
 * language models Dror et al. 2018, https://aclanthology.org/P18-1128.
 */
export function computeRandomisationPValue(
  first: readonly ExampleScore[],
  second: readonly ExampleScore[],
  seed: number,
  shown: (mean: number) => number,
): number {
  const { uint32 } = random(seed)
  const measured = Math.abs(shown(computeMean(second)) - shown(computeMean(first)))
  let asLarge = 0
  for (let sample = 0; sample < samples; sample++) {
    const swapped = first.map(() => uint32() >>> 31 === 1)
    const a = first.map((score, i) => (swapped[i] ? second[i]! : score))
    const b = second.map((score, i) => (swapped[i] ? first[i]! : score))
    // A hair below the measured one counts as it: sums in another order round differently.
    if (Math.abs(shown(computeMean(b)) - shown(computeMean(a))) >= measured * (1 - 1e-12)) asLarge++
  }
  return (asLarge + 1) / (samples + 1)
}
