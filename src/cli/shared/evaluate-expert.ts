// Shows evaluations: metrics by name, progress, one table. Shared by graft eval and graft train.

import type { Candidate, Evaluation, MetricResult, Metric } from '../../eval/index.ts'
import { oneOf } from '../../base/schema.ts'
import { checkValue } from '../command.ts'
import type { Progress } from '../ui/progress.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/** Metrics by a list with commas. Throws UsageError that names what there is. */
export function parseMetrics(text: string, all: ReadonlyMap<string, Metric>): Metric[] {
  const name = oneOf([...all.keys()])
  return text.split(',').map((part) => {
    checkValue(name, part.trim(), '--metrics')
    return all.get(part.trim())!
  })
}

/** A progress line for each stage of each candidate. */
export function createEvaluationProgress(terminal: Terminal, candidates: readonly Candidate[]) {
  const lines = new Map<string, Progress>()
  const label = (stage: string, name: string): string =>
    candidates.length > 1 ? `${stage}, ${name}` : stage
  return {
    onProgress(stage: 'loss' | 'answers', name: string, done: number, rows: number): void {
      const line = lines.get(stage + name) ?? terminal.progress(label(stage, name), rows)
      lines.set(stage + name, line)
      line.update(done)
    },
    end(): void {
      for (const line of lines.values()) line.end()
    },
  }
}

const formatNumber = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3)
const formatSigned = (value: number): string =>
  value >= 0 ? `+${formatNumber(value)}` : formatNumber(value)

function describeDifference({ results, better }: MetricResult): string {
  const found = results[1]?.difference
  if (!found) return ''
  const good = better === 'higher' ? found.value > 0 : found.value < 0
  const verdict = found.p >= 0.05 ? 'not sure' : good ? 'better' : 'worse'
  return `${formatSigned(found.value)} (${formatSigned(found.low)} to ${formatSigned(found.high)})  p ${found.p < 0.001 ? '< 0.001' : formatNumber(found.p)}  ${verdict}`
}

/**
 * A line for each metric: its value and 95 % interval for each candidate, and how sure the
 * difference is.
 */
export function describeEvaluation(
  { metricResults }: Evaluation,
  candidates: readonly Candidate[],
): string[] {
  const several = candidates.length > 1
  const heading = [
    'metric',
    ...candidates.map(({ name }) => name),
    ...(several ? ['difference'] : []),
    'rows',
  ]
  const rows = metricResults.map((figure) => [
    figure.metric,
    ...figure.results.map(
      ({ value, low, high }) =>
        `${formatNumber(value)} (${formatNumber(low)} to ${formatNumber(high)})`,
    ),
    ...(several ? [describeDifference(figure)] : []),
    String(figure.results[0]!.rows),
  ])
  return formatTable([heading, ...rows])
}

/** The evaluation as JSON shows it: figures with their intervals, no answers. */
export const summarizeEvaluation = ({ rows, metricResults }: Evaluation) => ({
  rows,
  metrics: metricResults,
})
