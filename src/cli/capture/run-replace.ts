// What graft capture replace does: opens the base and the metric, trains and evaluates, and prints
// how to serve the result.

import { oneOf } from '../../base/schema.ts'
import { replaceCalls, type ReplaceReport, studentName } from '../../node/capture/replace-calls.ts'
import type { ReplaceSettings } from '../../node/capture/capture-options.ts'
import { nodeMetrics } from '../../node/metric-table.ts'
import { loadModel } from '../../node/model.ts'
import { checkValue } from '../command.ts'
import type { Terminal } from '../ui/terminal.ts'

interface ReplaceValues extends Pick<
  ReplaceSettings,
  'least' | 'trust' | 'held' | 'epochs' | 'seed'
> {
  readonly data: string
  readonly out: string
  readonly model: string
  readonly metric: string
  readonly 'learning-rate': number | undefined
  readonly 'new-tokens': number
}

interface ReplaceContext {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  readonly commandLine: string
}

export async function runReplace(
  values: ReplaceValues,
  { terminal, signal, commandLine }: ReplaceContext,
): Promise<ReplaceReport> {
  const { model: source, metric: name, 'learning-rate': rate, 'new-tokens': length } = values
  const { data, out, least, trust, held, epochs, seed } = values
  const judges = [...nodeMetrics.values()].filter(({ needs }) => needs === 'answers')
  checkValue(oneOf(judges.map((one) => one.name)), name, '--metric')
  const metric = nodeMetrics.get(name)!
  const model = await loadModel(source)
  const progress = terminal.progress('  training', undefined)
  try {
    const report = await replaceCalls({
      model,
      data,
      out,
      metric,
      least,
      trust,
      held,
      epochs,
      seed,
      learningRate: rate,
      newTokens: length,
      command: commandLine,
      signal,
      onEvent(event) {
        if (event.type === 'step-end')
          progress.update(event.step, `step ${event.step}  loss ${event.loss.toFixed(3)}`)
      },
    })
    progress.end()
    showReport(report, source, terminal)
    return report
  } finally {
    metric.dispose?.()
    await model.dispose()
  }
}

function showReport(report: ReplaceReport, source: string, { print, style }: Terminal): void {
  const { learned, judged, good, checked, replaced, replacedWell, doubt } = report
  print(`The expert learned ${learned} calls and answers ${good} of ${judged} others well.`)
  if (doubt !== undefined)
    print(`For now the teacher answers everything, because ${doubt}. Capture more calls.`)
  else
    print(
      `Of ${checked} calls that neither it nor the router learned from it replaces ${replaced} (${Math.round((100 * replaced) / checked)} %), ${replacedWell} of them well. The others go to the teacher.`,
    )
  print(style.faint('Serve both, and ask for the model "auto":'))
  print(
    `  graft serve ${source} --adapter ${studentName}=${report.expert} --router ${report.router} --upstream <the teacher's url> --upstream-model ${report.teacher ?? '<its model>'}`,
  )
}
