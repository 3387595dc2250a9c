// From the scores of rows to a figure with its 95 % interval, and to the difference of two models
// on the same rows.

import type { Metric, ExampleScore } from './metric.ts'
import {
  bootstrap,
  type ConfidenceInterval,
  computeMcnemarPValue,
  computeMean,
  computeSampleMean,
  computeRandomisationPValue,
  computeWilsonInterval,
} from './statistics.ts'

export interface Estimate extends ConfidenceInterval {
  readonly value: number
  readonly rows: number
}

export interface Difference extends ConfidenceInterval {
  /** The second's figure less the first's. */
  readonly value: number
  /** Two-sided: how likely a difference at least this large would be if there were none. */
  readonly p: number
}

type Judge = Pick<Metric, 'kind' | 'transform'>

const identity = (mean: number): number => mean

/**
 * The metric over all rows: Wilson's interval for shares, a bootstrap over rows for anything else.
 * At least one row.
 */
export function estimate(
  { kind, transform = identity }: Judge,
  scores: readonly ExampleScore[],
  seed: number,
): Estimate {
  const rows = scores.length
  const value = transform(computeMean(scores))
  if (kind === 'share')
    return {
      value,
      rows,
      ...computeWilsonInterval(
        scores.reduce((sum, score) => sum + score.value, 0),
        rows,
      ),
    }
  return {
    value,
    rows,
    ...bootstrap(rows, seed, (drawn) => transform(computeSampleMean(scores, drawn))),
  }
}

/**
 * Second less first on the same rows: paired bootstrap for the interval; McNemar's exact test for
 * shares, a randomisation test for the rest.
 */
export function computeDifference(
  { kind, transform = identity }: Judge,
  first: readonly ExampleScore[],
  second: readonly ExampleScore[],
  seed: number,
): Difference {
  const of = (scores: readonly ExampleScore[], drawn: Uint32Array): number =>
    transform(computeSampleMean(scores, drawn))
  const interval = bootstrap(first.length, seed, (drawn) => of(second, drawn) - of(first, drawn))
  const only = (one: readonly ExampleScore[], other: readonly ExampleScore[]): number =>
    one.filter((score, i) => score.value > other[i]!.value).length
  const p =
    kind === 'share'
      ? computeMcnemarPValue(only(first, second), only(second, first))
      : computeRandomisationPValue(first, second, seed, transform)
  return { value: transform(computeMean(second)) - transform(computeMean(first)), p, ...interval }
}
