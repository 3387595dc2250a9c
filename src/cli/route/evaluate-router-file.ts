// What graft route eval does: decisions on prompts whose expert is known, and estimates from a log.

import { evaluateRouter, type RouterEvaluation } from '../../route/evaluate-router.ts'
import { estimateOffPolicy, type OffPolicyReport } from '../../route/log/off-policy.ts'
import type { RouteLogRow } from '../../route/log/route-log.ts'
import type { Router } from '../../route/router.ts'
import { readRouteExamples } from '../../node/route/read-examples.ts'
import { DataError } from '../../base/errors.ts'
import { UsageError } from '../command.ts'
import { formatBytes } from '../ui/format.ts'
import type { Terminal } from '../ui/terminal.ts'
import { type OpenedRouter, openRouter, type RouterValues } from './open-router.ts'
import { readLogFile } from './train-router.ts'

export interface EvaluateRouterValues extends RouterValues {
  readonly data?: string | undefined
  readonly from?: string | undefined
  readonly seed: number
}

const formatPercent = (share: number | undefined): string =>
  share === undefined ? '–' : `${(share * 100).toFixed(1)} %`

export async function evaluateRouterFile(
  path: string,
  values: EvaluateRouterValues,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<unknown> {
  if (values.data === undefined && values.from === undefined)
    throw new UsageError('Give --data (prompts) or --from (a log).')
  const examples = values.data === undefined ? [] : await readRouteExamples(values.data)
  const rows = values.from === undefined ? undefined : await readLogFile(values.from)
  const opened = await openRouter(path, values, terminal)
  try {
    const { router } = opened
    const progress = terminal.progress('prompts', examples.length)
    const evaluation =
      examples.length === 0
        ? undefined
        : await evaluateRouter(router, examples, {
            signal,
            now: () => performance.now(),
            onProgress: (done) => progress.update(done, `${done} of ${examples.length}`),
          })
    progress.end()
    if (evaluation)
      for (const line of describeRouterEvaluation(evaluation, opened)) terminal.print(line)
    const offPolicy = rows && (await judgeLog(router, rows, values.seed, signal))
    if (offPolicy) for (const line of describeOffPolicy(offPolicy)) terminal.print(line)
    return { router: path, kind: router.kind, ...evaluation, ...(offPolicy && { offPolicy }) }
  } finally {
    await opened.close()
  }
}

function describeRouterEvaluation(
  result: RouterEvaluation,
  { file, sizeBytes }: OpenedRouter,
): string[] {
  const { interval, coverage, confusions } = result
  return [
    `${file.kind}, ${file.experts.length} experts, ${formatBytes(sizeBytes)}; ${result.rows} prompts in scope, ${result.outOfScopeRows} out of it`,
    `right expert                ${formatPercent(result.accuracy)}  (95 %: ${formatPercent(interval.low)} – ${formatPercent(interval.high)})`,
    `answered by the right one   ${formatPercent(result.answeredRight)}`,
    `refused in scope            ${formatPercent(result.refused)}`,
    `refused out of scope        ${formatPercent(result.outOfScopeRecall)}`,
    `expected calibration error  ${formatPercent(result.calibrationError)}`,
    `time of a decision          median ${result.medianMs.toFixed(2)} ms, p99 ${result.p99Ms.toFixed(2)} ms`,
    '',
    'threshold  coverage  errors  out of scope refused',
    ...coverage.map(
      (point) =>
        `${point.threshold.toFixed(3).padStart(9)}  ${formatPercent(point.coverage).padStart(8)}  ${formatPercent(point.errors).padStart(6)}  ${formatPercent(point.outOfScopeRecall).padStart(20)}`,
    ),
    ...(confusions.length > 0 ? ['', 'confused most often:'] : []),
    ...confusions.slice(0, 5).map(({ right, got, rows }) => `  ${right} → ${got}: ${rows}`),
  ]
}

/**
 * What the router would choose on logged requests; rows without a text or a reward are not used.
 */
async function judgeLog(
  router: Router,
  rows: readonly RouteLogRow[],
  seed: number,
  signal: AbortSignal,
): Promise<OffPolicyReport> {
  const usable = rows.filter(({ text, reward }) => text !== undefined && reward !== undefined)
  const logged = []
  for (const { text, choice, propensity, reward, session, user } of usable) {
    const { expert } = await router.decide({ text: text!, session, user }, signal)
    logged.push({ choice, propensity, reward: reward!, target: new Map([[expert, 1]]) })
  }
  const report = estimateOffPolicy(logged, seed)
  if (!report)
    throw new DataError(
      'The log has no row with a text and a reward: log prompts (--log-prompts) and send feedback.',
    )
  return report
}

function describeOffPolicy({
  rows,
  matched,
  effectiveRows,
  ...estimates
}: OffPolicyReport): string[] {
  const names = {
    logged: 'reward of the logged choices',
    ips: 'inverse propensity scores',
    snips: 'normalised (SNIPS)',
    doublyRobust: 'doubly robust',
  }
  return [
    `from ${rows} rows of the log, ${matched} with the same choice, as good as ${effectiveRows.toFixed(0)} rows:`,
    ...(Object.keys(names) as (keyof typeof names)[]).map((name) => {
      const { value, low, high } = estimates[name]
      return `  ${names[name].padEnd(26)} ${value.toFixed(3)}  (95 %: ${low.toFixed(3)} – ${high.toFixed(3)})`
    }),
  ]
}
