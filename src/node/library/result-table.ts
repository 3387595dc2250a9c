// The results of a build as text: each score with its interval, and its ratio to the LoRA's.

import { computeDifference, type Difference } from '../../eval/estimate.ts'
import { nodeMetrics } from '../metric-table.ts'
import type { VariantResult } from './results.ts'

/** '62.0 % [52.0, 71.0]'; of a metric that is no share '8.31 [7.9, 8.8]'. */
export function formatFigure({ value, low, high, metric }: VariantResult): string {
  const isShare = nodeMetrics.get(metric)?.kind === 'share'
  const format = (one: number): string => (isShare ? (one * 100).toFixed(1) : one.toFixed(2))
  return `${format(value)}${isShare ? ' %' : ''} [${format(low)}, ${format(high)}]`
}

/**
 * The ratio of the expert's score to the LoRA's; above 1 is better, also for metrics that should be
 * low.
 */
export function computeShareOfLora(expert: VariantResult, lora: VariantResult): number | undefined {
  const share = expert.better === 'higher' ? expert.value / lora.value : lora.value / expert.value
  return Number.isFinite(share) ? share : undefined
}

/** Expert less LoRA on the same rows, with its interval and p. */
export function compareResults(lora: VariantResult, expert: VariantResult): Difference | undefined {
  const metric = nodeMetrics.get(expert.metric)
  if (!metric || lora.scores.length !== expert.scores.length) return undefined
  return computeDifference(metric, lora.scores, expert.scores, 0)
}

/** One line for each result: 'sql  expert  dora  execution-match 62.0 % [52.0, 71.0]  …'. */
export const describeResult = (result: VariantResult, isNew: boolean): string => {
  const { name, variant, kind, metric, scores, trainSeconds, steps } = result
  const training = variant === 'base' ? '' : `, ${steps} steps in ${trainSeconds.toFixed(0)} s`
  return `${name}  ${variant}  ${kind}  ${metric} ${formatFigure(result)} on ${scores.length} rows${training}${isNew ? '' : ' (from before)'}`
}

/** The expert's ratio to the LoRA, and the difference with its interval; [] without a LoRA. */
export function describeAims(results: readonly VariantResult[]): string[] {
  const find = (variant: string): VariantResult | undefined =>
    results.find((result) => result.variant === variant)
  const expert = find('expert')
  const lora = find('lora')
  if (!expert || !lora) return []
  const share = computeShareOfLora(expert, lora)
  const difference = compareResults(lora, expert)
  const digits = (one: number): string => one.toFixed(3)
  return [
    `${expert.name}  ${share === undefined ? 'LoRA scored 0' : `${(share * 100).toFixed(0)} % of LoRA`}${difference ? `, difference ${digits(difference.value)} [${digits(difference.low)}, ${digits(difference.high)}], p = ${difference.p.toPrecision(2)}` : ''}`,
  ]
}
