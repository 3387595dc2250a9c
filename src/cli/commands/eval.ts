// graft eval: evaluates a base model or an expert on rows of a JSONL file, with confidence
// intervals, and tests whether one is better than another.

import { flag, integer, string } from '../../base/schema.ts'
import type { Candidate, Evaluation, Metric } from '../../eval/index.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { type Context, defineCommand, UsageError, toOption } from '../command.ts'
import { readGivenDate } from '../shared/date.ts'
import { expertOption, openExperts, type OpenedExperts } from '../shared/open-experts.ts'
import { anyBaseOption, checkOwnBase, findExpert, modelOptions } from '../shared/open-model.ts'
import { ropeScalingOption } from '../shared/rope-scaling-option.ts'
import type { Terminal } from '../ui/terminal.ts'

const options = {
  ...modelOptions,
  ...ropeScalingOption,
  ...expertOption,
  ...anyBaseOption,
  data: toOption(string({ about: 'rows as for graft train' }), {
    valueName: 'file.jsonl',
    short: 'd',
    required: true,
  }),
  metrics: toOption(string({ about: 'what is measured, with commas (default: perplexity)' }), {
    valueName: 'names',
  }),
  against: toOption(
    string({ about: 'another expert, or base, to compare with on the same rows' }),
    {
      valueName: 'folder|base',
    },
  ),
  labels: toOption(string({ about: 'the possible answers, with commas, for label-accuracy' }), {
    valueName: 'names',
  }),
  require: toOption(
    string({
      about: 'bounds that the figures must reach, with commas; exit code 1 if one does not',
    }),
    { valueName: 'metric>=figure' },
  ),
  junit: toOption(string({ about: 'also write the result of --require as a JUnit report' }), {
    valueName: 'file.xml',
  }),
  rows: integer({ from: 1, about: 'only the first rows' }),
  system: string({ about: "system message for rows that have none (default: the expert's own)" }),
  'max-tokens': integer({ from: 2, default: 512, about: 'longer rows are cut' }),
  generate: flag({
    about: 'also generate answers: measures exact-match, and JSON if the rows hold JSON',
  }),
  'new-tokens': integer({ from: 1, default: 96, about: 'tokens of an answer at most' }),
  stop: string({ about: 'end answers before this text' }),
  seed: integer({ default: 0, about: 'of the intervals' }),
} as const

type EvalValues = Context<typeof options>['values']

export const evalCommand = defineCommand({
  name: 'eval',
  summary: 'measure a model or an expert on rows, with confidence intervals',
  usage: '--data <file.jsonl>',
  positionals: [0, 0],
  options,
  examples: [
    {
      command: 'graft eval --data rows.jsonl --model stories260k',
      about: "the base model's perplexity",
    },
    {
      command: 'graft eval --data rows.jsonl --adapter my-expert --generate',
      about: 'an expert, also by its answers',
    },
    {
      command:
        'graft eval --data rows.jsonl --adapter my-expert --against base --metrics token-f1,exact-match',
      about: 'whether it is better than its base, with the confidence',
    },
    {
      command:
        'graft eval --data rows.jsonl --adapter my-expert --require "exact-match>=0.8" --junit report.xml',
      about: 'a check for continuous integration: exit code 1 below 0.8',
    },
  ],
  async run({ values, terminal, signal, setExitCode }) {
    const [{ readDataFile }, { nodeMetrics: all }, { evaluate: run }, view] = await Promise.all([
      import('../../node/data.ts'),
      import('../../node/metric-table.ts'),
      import('../../eval/index.ts'),
      import('../shared/evaluate-expert.ts'),
    ])
    const chosen = values.metrics === undefined ? undefined : view.parseMetrics(values.metrics, all)
    if (values.against !== undefined && values.against !== 'base' && values.adapter === undefined)
      throw new UsageError('--against compares an expert; name it with --adapter.')
    const whole = await readDataFile(values.data)
    const data = { ...whole, rows: whole.rows.slice(0, values.rows) }
    const { readRequirements, reportChecks } = await import('../shared/score-checks.ts')
    const required = readRequirements(values, all)
    const selected = chosen ?? (required ? [] : await selectMetrics(values, data, all))
    const metrics = [...new Set([...selected, ...(required?.metrics ?? [])])]
    const opened = await openExperts(values, terminal)
    const { model } = opened
    const candidates = await loadCandidates(values, opened, terminal)
    const progress = view.createEvaluationProgress(terminal, candidates)
    const started = performance.now()
    const evaluation = await run({
      model,
      data,
      metrics,
      candidates,
      signal,
      seed: values.seed,
      date: readGivenDate(values.date),
      today: new Date(),
      onProgress: progress.onProgress,
      labels: splitNames(values.labels),
      maxTokens: values['max-tokens'],
      newTokens: values['new-tokens'],
      ...(values.stop !== undefined && { stop: [values.stop] }),
    })
    const seconds = (performance.now() - started) / 1000
    progress.end()
    for (const metric of metrics) metric.dispose?.()
    for (const line of view.describeEvaluation(evaluation, candidates)) terminal.print(line)
    await keepResults(evaluation, data, { values, terminal, opened })
    const cut = evaluation.losses.at(-1)?.cut ?? 0
    if (cut > 0) terminal.note(`${cut} of ${evaluation.rows} rows cut to --max-tokens`)
    const checks = await reportChecks(evaluation, required, values, seconds, terminal)
    if (checks?.some(({ met }) => !met)) setExitCode(1)
    return { ...summarizeResult(evaluation, values, opened), ...(checks && { checks }) }
  },
})

interface EvaluatedExpert {
  readonly values: EvalValues
  readonly terminal: Terminal
  readonly opened: OpenedExperts
}

/** Into the expert's own folder, where one expert alone was evaluated. */
async function keepResults(
  evaluation: Evaluation,
  data: RawDataset,
  { values, terminal, opened }: EvaluatedExpert,
): Promise<void> {
  const { named, model, adapter, system } = opened
  if (typeof named !== 'string') return
  const { keepScores, measureAnswer, toManifestScores } = await import('../shared/keep-scores.ts')
  const [first] = values.generate ? (await import('../../eval/index.ts')).readQuestions(data) : []
  const prompt = first?.prompt(model, values.system ?? system, adapter)
  const figures = prompt === undefined ? {} : await measureAnswer(model, prompt, adapter)
  await keepScores(named, toManifestScores(evaluation, values.data), figures, terminal)
}

const splitNames = (text: string | undefined): string[] | undefined =>
  text?.split(',').map((name) => name.trim())

/**
 * Perplexity; with --generate exact match too and, if the answer of every row is JSON, the share of
 * valid JSON.
 */
async function selectMetrics(
  { generate }: EvalValues,
  data: RawDataset,
  all: ReadonlyMap<string, Metric>,
): Promise<Metric[]> {
  const { readQuestions } = await import('../../eval/index.ts')
  const { parseJson } = await import('../../eval/json.ts')
  const holdJson =
    generate &&
    readQuestions(data).every(({ wanted }) => typeof parseJson(wanted)?.value === 'object')
  const names = [
    'perplexity',
    ...(generate ? ['exact-match'] : []),
    ...(holdJson ? ['json-validity', 'json-equality'] : []),
  ]
  return names.map((name) => all.get(name)!)
}

/**
 * The candidates; the one that --against names comes first, because the expert is compared with it.
 */
async function loadCandidates(
  values: EvalValues,
  { model, adapter, system: known }: OpenedExperts,
  terminal: Terminal,
): Promise<Candidate[]> {
  const own = adapter && ('mixture' in adapter ? adapter.mixture : [{ adapter }])
  for (const one of own ?? []) await checkOwnBase(one.adapter, model, values['any-base'])
  const system = values.system ?? known
  const judged = { name: values.adapter?.join(', ') ?? 'base', adapter, system }
  if (values.against === undefined) return [judged]
  if (values.against === 'base') return [{ name: 'base', adapter: undefined, system }, judged]
  const found = await findExpert(values.against, terminal)
  const other = await found.load(model)
  await checkOwnBase(other, model, values['any-base'])
  return [{ name: values.against, adapter: other, system: values.system ?? found.system }, judged]
}

function summarizeResult(
  evaluation: Evaluation,
  { data, against }: EvalValues,
  { model, named }: OpenedExperts,
) {
  const valueOf = (name: string): number | null =>
    evaluation.metricResults.find(({ metric }) => metric === name)?.results.at(-1)!.value ?? null
  const losses = evaluation.losses.at(-1)
  return {
    model: model.base.name,
    adapter: named,
    data,
    ...(against !== undefined && { against }),
    rows: evaluation.rows,
    ...losses,
    ...(losses && { perplexity: valueOf('perplexity') }),
    ...(evaluation.answers.length > 0 && {
      exactMatch: valueOf('exact-match'),
      validJson: valueOf('json-validity'),
      equalJson: valueOf('json-equality'),
    }),
    metrics: evaluation.metricResults,
  }
}
