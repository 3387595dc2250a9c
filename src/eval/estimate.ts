// From the scores of rows to a figure with its 95 % interval, and to the difference of two models
// on the same rows.

import type { Metric, RowScore } from './metric.ts'
import {
  bootstrap,
  type Interval,
  mcnemar,
  meanOf,
  meanOfDrawn,
  randomisation,
  wilson,
} from './statistics.ts'

export interface Estimate extends Interval {
  readonly value: number
  readonly rows: number
}

export interface Difference extends Interval {
  /** The second's figure less the first's. */
  readonly value: number
  /** Two-sided: how likely a difference at least this large would be if there were none. */
  readonly p: number
}

type Judge = Pick<Metric, 'kind' | 'shown'>

const same = (mean: number): number => mean

/**
 * The metric over all rows: Wilson's interval for shares, a bootstrap over rows for anything else.
 * At least one row.
 */
export function estimate(
  { kind, shown = same }: Judge,
  scores: readonly RowScore[],
  seed: number,
): Estimate {
  const rows = scores.length
  const value = shown(meanOf(scores))
  if (kind === 'share')
    return {
      value,
      rows,
      ...wilson(
        scores.reduce((sum, score) => sum + score.value, 0),
        rows,
      ),
    }
  return { value, rows, ...bootstrap(rows, seed, (drawn) => shown(meanOfDrawn(scores, drawn))) }
}

/**
 * Second less first on the same rows: paired bootstrap for the interval; McNemar's exact test for
 * shares, a randomisation test for the rest.
 */
export function difference(
  { kind, shown = same }: Judge,
  first: readonly RowScore[],
  second: readonly RowScore[],
  seed: number,
): Difference {
  const of = (scores: readonly RowScore[], drawn: Uint32Array): number =>
    shown(meanOfDrawn(scores, drawn))
  const interval = bootstrap(first.length, seed, (drawn) => of(second, drawn) - of(first, drawn))
  const only = (one: readonly RowScore[], other: readonly RowScore[]): number =>
    one.filter((score, i) => score.value > other[i]!.value).length
  const p =
    kind === 'share'
      ? mcnemar(only(first, second), only(second, first))
      : randomisation(first, second, seed, shown)
  return { value: shown(meanOf(second)) - shown(meanOf(first)), p, ...interval }
}
