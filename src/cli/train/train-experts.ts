// Trains one expert or several in turn. Experts of one base share the loaded model, so its weights
// are in memory once. A failure is reported at the end; the other experts are still trained.

import { toKindName } from '../../adapters/kinds/kind-table.ts'
import { join } from 'node:path'
import { GraftError } from '../../base/errors.ts'
import type { Adapter } from '../../index.ts'
import type { TrainingRun } from '../../node/manifests/training-run.ts'
import { chooseShareThreads, planShare } from '../../node/jobs/train-share.ts'
import { setOwnPriority } from '../../node/worker/own-priority.ts'
import { describeData } from './describe-data.ts'
import type { LoadedModel } from '../../node/index.ts'
import type { SharedPrograms } from '../../train/programs/shared-programs.ts'
import {
  createEvaluationProgress,
  summarizeEvaluation,
  describeEvaluation,
} from '../shared/evaluate-expert.ts'
import { toManifestScores } from '../shared/keep-scores.ts'
import { readDate } from '../shared/date.ts'
import { defaultModel, openModel } from '../shared/open-model.ts'
import { describePath } from '../shared/describe-path.ts'
import { checkBaseContent } from './check-base-content.ts'
import { describeFailed, type LineWriter } from './event-lines.ts'
import type { TrainValues } from './train-option-table.ts'
import { showTraining, type TrainEnd } from './training-view.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface PlannedExpert {
  readonly run: TrainingRun
  /** The manifest's path; undefined for a run from options alone. */
  readonly manifest: string | undefined
  readonly resume: boolean
}

export interface TrainedExpert {
  readonly planned: PlannedExpert
  readonly end: TrainEnd
  readonly evaluation?: ReturnType<typeof summarizeEvaluation>
}

export interface FailedExpert {
  readonly planned: PlannedExpert
  readonly error: GraftError
}

export interface ExpertsContext {
  readonly values: TrainValues
  readonly terminal: Terminal
  readonly signal: AbortSignal
  /** As it was typed. */
  readonly commandLine?: string | undefined
  /** Writes events as lines of JSON, with --events. */
  readonly lines?: LineWriter | undefined
}

const getBaseSource = ({ run }: PlannedExpert): string => run.base ?? defaultModel

/** Plans in order, those of the same base together, so that each base is opened once. */
export function groupByBase(experts: readonly PlannedExpert[]): PlannedExpert[][] {
  const groups = new Map<string, PlannedExpert[]>()
  for (const expert of experts)
    groups.set(getBaseSource(expert), [...(groups.get(getBaseSource(expert)) ?? []), expert])
  return [...groups.values()]
}

/** The model, with weights that are read once for all runs. */
function withCachedWeights(model: LoadedModel): LoadedModel {
  const kept = new Map<string, ReturnType<LoadedModel['weights']>>()
  const weights = (options: Parameters<LoadedModel['weights']>[0] = {}) => {
    const key = options.quantization ?? 'f32'
    const read = kept.get(key) ?? model.weights(options)
    kept.set(key, read as ReturnType<LoadedModel['weights']>)
    return read
  }
  return { ...model, weights: weights as LoadedModel['weights'] }
}

/** Trains all; an error that the user can fix ends only its own run, anything else ends all. */
export async function trainExperts(
  experts: readonly PlannedExpert[],
  context: ExpertsContext,
): Promise<(TrainedExpert | FailedExpert)[]> {
  const share = context.values['train-share']
  if (share !== undefined) setOwnPriority(planShare(share).priority)
  const results: (TrainedExpert | FailedExpert)[] = []
  const failed = (planned: PlannedExpert, error: unknown): void => {
    if (!GraftError.isInstance(error)) throw error
    results.push({ planned, error })
    context.lines?.write(describeFailed(planned, error))
    if (experts.length > 1) context.terminal.note(`  failed: ${error.message.split('\n')[0]}`)
  }
  for (const group of groupByBase(experts)) {
    let base: SharedBase
    try {
      base = await openBase(group, context)
    } catch (error) {
      for (const planned of group) failed(planned, error)
      continue
    }
    for (const planned of group) {
      if (context.signal.aborted) break
      const place = experts.length > 1 ? `${results.length + 1} of ${experts.length}  ` : ''
      try {
        const trained = await trainOne(planned, base, place, context)
        results.push(trained)
        context.lines?.write(Object.assign({ type: 'expert-end' }, summarizeExpert(trained)))
      } catch (error) {
        failed(planned, error)
      }
    }
    await base.programs?.dispose()
    if (experts.length > 1) await base.model.dispose()
  }
  return results
}

/**
 * A base that several runs share, with the program that runs of one shape share; alone, a run keeps
 * neither.
 */
interface SharedBase {
  readonly model: LoadedModel
  readonly programs?: SharedPrograms
}

export async function openBase(
  group: readonly PlannedExpert[],
  { values, terminal }: ExpertsContext,
): Promise<SharedBase> {
  const threads = chooseShareThreads(values['train-share'], 'job', values.threads)
  const source = getBaseSource(group[0]!)
  const model = await openModel(source, Object.assign({}, values, { threads }), terminal)
  await checkBaseContent(model, values['base-sha256'])
  if (group.length === 1) return { model }
  const { createSharedPrograms } = await import('../../train/programs/shared-programs.ts')
  return { model: withCachedWeights(model), programs: createSharedPrograms() }
}

/** One line: the expert, its kind, its base and its data. */
export function describeStart({ run }: PlannedExpert, base: string, { style }: Terminal): string {
  const { adapter } = run.options
  const start =
    typeof adapter === 'string'
      ? `continuing from ${describePath(adapter)}`
      : toKindName(adapter.kind)
  return `${style.strong(describePath(run.out))}: ${start} on ${base}, from ${describeData(run)}`
}

/** The options of a run as it is started from a command line. */
export const collectRunOptions = (
  { run, resume }: PlannedExpert,
  { values, signal, commandLine }: Pick<ExpertsContext, 'values' | 'signal' | 'commandLine'>,
) =>
  Object.assign({}, run.options, {
    data: run.data,
    signal,
    resume,
    overwrite: values.overwrite,
    anyBase: values['any-base'],
    command: commandLine,
    date: readDate(values.date),
    shards: run.options.shards ?? values.replicas,
  })

async function trainOne(
  planned: PlannedExpert,
  { model, programs }: SharedBase,
  place: string,
  context: ExpertsContext,
): Promise<TrainedExpert> {
  const { run } = planned
  const { terminal, values } = context
  const { train } = await import('../../node/index.ts')
  terminal.say(`${place}${describeStart(planned, model.base.name, terminal)}`)
  const options = collectRunOptions(planned, context)
  const trained = train({ ...options, model, ...(programs && { programs }) })
  const events = context.lines?.tell(trained, { manifest: planned.manifest }) ?? trained
  const end = await showTraining(events, terminal, values)
  if (end.reason === 'stopped' || !run.evaluation) return { planned, end }
  return { planned, end, evaluation: await evaluateExpert(run, end.best.adapter, model, context) }
}

/** Computes the metrics of the manifest and prints them; the expert is compared with the base. */
export async function evaluateExpert(
  run: TrainingRun,
  adapter: Adapter,
  model: LoadedModel,
  { terminal, signal, values }: ExpertsContext,
) {
  const [{ evaluate }, { nodeMetrics: all }, { readEvaluationRows }] = await Promise.all([
    import('../../eval/index.ts'),
    import('../../node/metric-table.ts'),
    import('../../node/manifests/training-run.ts'),
  ])
  const { metrics: names, rows, newTokens, stop } = run.evaluation!
  const whole = await readEvaluationRows(run)
  const { system } = run.options
  const candidates = [
    { name: 'base', adapter: undefined, system },
    { name: describePath(run.out), adapter, system },
  ]
  const metrics = names.map((name) => all.get(name)!)
  const progress = createEvaluationProgress(terminal, candidates)
  const evaluation = await evaluate({
    model,
    metrics,
    candidates,
    signal,
    newTokens,
    labels: run.labels,
    date: readDate(values.date),
    onProgress: progress.onProgress,
    data: { ...whole, rows: whole.rows.slice(0, rows) },
    ...(stop !== undefined && { stop: [stop] }),
  })
  progress.end()
  for (const metric of metrics) metric.dispose?.()
  const { writeScores } = await import('../../node/run-folder.ts')
  await writeScores(run.out, adapter, toManifestScores(evaluation, whole.name))
  for (const line of describeEvaluation(evaluation, candidates)) terminal.say(`  ${line}`)
  return summarizeEvaluation(evaluation)
}

/** The files of a trained expert, and how to resume. */
export function showTrainedExpert(
  { planned, end }: TrainedExpert,
  { say, style, graft }: Terminal,
  several: boolean,
): void {
  const { run } = planned
  const { reason, best, last } = end
  say()
  if (reason === 'stopped') {
    say(
      `Stopped after step ${last.step}; the checkpoint is in ${describePath(join(run.out, 'checkpoints'))}. To continue, run the same command with --resume.`,
    )
    return
  }
  if (run.options.validation !== undefined)
    say(`The best expert is that of step ${best.step}, validation loss ${best.loss.toFixed(3)}.`)
  say(`expert      ${describePath(run.out)}  (a PEFT folder)`)
  if (several) return
  say(`loss curve  ${describePath(join(run.out, 'loss.svg'))}`)
  say(`history     ${describePath(join(run.out, 'history.jsonl'))}`)
  say()
  say('next:')
  const folder = describePath(run.out)
  for (const line of [
    `${graft} run "..." --adapter ${folder}`,
    `${graft} eval --data held-out.jsonl --adapter ${folder} --against base   # rows that it never saw`,
    `${graft} serve --adapter ${folder}`,
  ])
    say(`  ${style.accent(line)}`)
}

/** One expert as --json shows it. */
export function summarizeExpert({ planned, end, evaluation }: TrainedExpert) {
  const { run, manifest } = planned
  const { reason, best, last, history } = end
  const { out, dataFiles } = run
  const names = dataFiles.length > 0 ? dataFiles : [describeData(run)]
  const files =
    reason === 'stopped'
      ? {}
      : { adapter: out, lossCurve: join(out, 'loss.svg'), history: join(out, 'history.jsonl') }
  return {
    reason,
    ...(manifest !== undefined && { manifest }),
    out,
    data: names.length === 1 ? names[0] : names,
    steps: last.step,
    best: { step: best.step, loss: best.loss },
    last: { step: last.step, loss: last.loss },
    firstLoss: history.steps[0]?.loss ?? null,
    validations: history.validations,
    checkpoints: join(out, 'checkpoints'),
    ...(evaluation && { evaluation }),
    ...files,
  }
}
