// Evaluates models on rows by any metrics: figures with 95 % intervals, and paired tests of the
// difference to the first candidate.

import { DataError, OptionError } from '../base/errors.ts'
import {
  checkOptions,
  createField,
  integer,
  isRecord,
  listOf,
  type OptionFields,
  positiveInteger,
  string,
  unchecked,
} from '../base/schema.ts'
import type { AdapterChoice, Model } from '../runtime/index.ts'
import { createDataError, type RawDataset } from '../train/data/jsonl.ts'
import { type Difference, computeDifference, type Estimate, estimate } from './estimate.ts'
import { computeExampleLosses, type ExampleLosses } from './losses.ts'
import type { MetricInput, Metric, ExampleScore } from './metric.ts'
import { type Question, readQuestions } from './questions.ts'

/** The base, or the base with an adapter. */
export interface Candidate {
  readonly name: string
  readonly adapter: AdapterChoice['adapter']
  /** System message for rows that have none. */
  readonly system?: string | undefined
}

export interface EvaluateOptions {
  readonly model: Model
  readonly data: RawDataset
  readonly metrics: readonly Metric[]
  /** Each is compared with the first. */
  readonly candidates: readonly Candidate[]
  readonly labels?: readonly string[] | undefined
  /** Longer rows are cut for the loss. Default 512. */
  readonly maxTokens?: number | undefined
  /** Tokens of an answer at most. Default 96. */
  readonly newTokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  /** Seed of the intervals. Default 0. */
  readonly seed?: number | undefined
  /** For templates that print it, in rows whose loss is measured; else the date of the training. */
  readonly date?: Date | undefined
  /** The date if neither `date` nor a candidate's training has one. */
  readonly today?: Date | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?:
    ((stage: 'loss' | 'answers', candidate: string, done: number, rows: number) => void) | undefined
}

const candidateFields = {
  name: string(),
  adapter: createField<NonNullable<Candidate['adapter']>>('an adapter or a mixture', {}, isRecord),
  system: string(),
} satisfies OptionFields<Candidate>

const evaluateFields = {
  model: unchecked<Model>('a model'),
  data: unchecked<RawDataset>('a data set'),
  metrics: createField<readonly Metric[]>('a list of metrics', {}, Array.isArray),
  candidates: createField<readonly Candidate[]>('a list of candidates', {}, Array.isArray),
  labels: listOf(string()),
  maxTokens: positiveInteger,
  newTokens: positiveInteger,
  stop: listOf(string()),
  seed: integer(),
  date: unchecked<Date>('a Date'),
  today: unchecked<Date>('a Date'),
  signal: unchecked<AbortSignal>('an AbortSignal'),
  onProgress: unchecked<NonNullable<EvaluateOptions['onProgress']>>('a function'),
} satisfies OptionFields<EvaluateOptions>

/** Throws OptionError for unknown names, wrong values, and where there is nothing to do. */
function checkEvaluation(options: EvaluateOptions): void {
  checkOptions('Evaluation options', options, evaluateFields)
  for (const [i, candidate] of (options.candidates ?? []).entries())
    checkOptions(`Evaluation options: candidates[${i}]`, candidate, candidateFields)
  if (!options.metrics?.length || !options.candidates?.length)
    throw new OptionError('Evaluation: name at least one metric and one candidate.')
}

export interface CandidateResult extends Estimate {
  readonly candidate: string
  /** To the first candidate, on the same rows. */
  readonly difference?: Difference
}

export interface MetricResult {
  readonly metric: string
  readonly better: Metric['better']
  readonly results: readonly CandidateResult[]
}

export interface Evaluation {
  readonly rows: number
  readonly metricResults: readonly MetricResult[]
  /**
   * Mean loss in nats per token, and the tokens it is a mean over, where a metric needs it; by
   * candidate.
   */
  readonly losses: readonly {
    readonly loss: number
    readonly tokens: number
    readonly cut: number
    readonly dropped: number
  }[]
  /** What each candidate wrote, by row; empty where no metric needs answers. */
  readonly answers: readonly (readonly string[])[]
}

/** Answers that are generated at once: enough for speed, few enough for memory. */
const answerBatch = 16

/**
 * Evaluates candidates on the same rows. Answers are greedy. Throws OptionError for unknown options
 * and if there is no metric, DataError that names every row a metric cannot score, before anything
 * is computed.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  checkEvaluation(options)
  const { data, metrics, candidates, labels, seed = 0, stop = [] } = options
  const questions = readQuestions(data, stop)
  await checkRows(questions, options)
  const needs = (kind: Metric['needs']): boolean => metrics.some((metric) => metric.needs === kind)
  const judged: MetricInput[][] = []
  const measured: ExampleLosses[] = []
  for (const candidate of candidates) {
    const losses = needs('loss') ? await computeLosses(questions, candidate, options) : undefined
    const answers = needs('answers')
      ? await generateAnswers(questions, candidate, options)
      : undefined
    if (losses) measured.push(losses)
    judged.push(
      questions.map(({ row, wanted }, i) => ({
        row,
        wanted,
        answer: answers?.[i] ?? '',
        ...(losses?.rows[i] && { loss: losses.rows[i] }),
        ...(labels && { labels }),
      })),
    )
  }
  const metricResults: MetricResult[] = []
  for (const metric of metrics)
    metricResults.push(await scoreMetric(metric, judged, candidates, seed, data.name))
  return {
    rows: questions.length,
    metricResults,
    losses: measured.map(sumLosses),
    answers: needs('answers') ? judged.map((rows) => rows.map(({ answer }) => answer)) : [],
  }
}

/** Names every row that a metric cannot judge, before anything is computed. */
async function checkRows(
  questions: readonly Question[],
  { data, metrics, labels, candidates, model }: EvaluateOptions,
): Promise<void> {
  const problems: string[] = []
  for (const { number, row, wanted } of questions) {
    for (const metric of metrics) {
      const problem = await metric.findProblem?.({ row, wanted, ...(labels && { labels }) })
      if (problem !== undefined) problems.push(`row ${number}: ${metric.name}: ${problem}`)
    }
  }
  if (problems.length > 0) throw createDataError(data.name, 'rows cannot be judged', problems)
  if (metrics.some(({ needs }) => needs === 'answers'))
    for (const { system, adapter } of candidates)
      for (const { prompt } of questions) prompt(model, system, adapter)
}

const computeLosses = (
  questions: readonly Question[],
  { adapter, system, name }: Candidate,
  options: EvaluateOptions,
): Promise<ExampleLosses> =>
  computeExampleLosses(questions, {
    model: options.model,
    adapter,
    system,
    maxTokens: options.maxTokens ?? 512,
    date: options.date,
    today: options.today,
    signal: options.signal,
    onRow: (done) => options.onProgress?.('loss', name, done, questions.length),
  })

async function generateAnswers(
  questions: readonly Question[],
  candidate: Candidate,
  options: EvaluateOptions,
): Promise<string[]> {
  const { model, newTokens = 96, stop = [], signal, onProgress, date } = options
  const { adapter, system, name } = candidate
  const answers: string[] = []
  for (let start = 0; start < questions.length; start += answerBatch) {
    onProgress?.('answers', name, start, questions.length)
    const prompts = questions
      .slice(start, start + answerBatch)
      .map(({ prompt }) => prompt(model, system, adapter))
    const settings = {
      adapter,
      maxTokens: newTokens,
      stop,
      ...(signal && { signal }),
      ...(date && { chat: { now: date } }),
    }
    answers.push(...(await model.generateBatch(prompts, settings)).map(({ text }) => text))
  }
  return answers
}

/** A metric for all candidates, over the rows that every one of them could be judged on. */
async function scoreMetric(
  metric: Metric,
  judged: readonly (readonly MetricInput[])[],
  candidates: readonly Candidate[],
  seed: number,
  dataName: string,
): Promise<MetricResult> {
  const usable = judged[0]!
    .map((_, row) => row)
    .filter((row) => metric.needs === 'answers' || judged.every((rows) => rows[row]!.loss))
  if (usable.length === 0)
    throw new DataError(
      `${dataName}: none of ${judged[0]!.length} rows has anything to score; raise maxTokens.`,
    )
  const scores: ExampleScore[][] = []
  for (const rows of judged) {
    const own: ExampleScore[] = []
    for (const row of usable) own.push(await metric.score(rows[row]!))
    scores.push(own)
  }
  const results = candidates.map(({ name }, i) => ({
    candidate: name,
    ...estimate(metric, scores[i]!, seed),
    ...(i > 0 && { difference: computeDifference(metric, scores[0]!, scores[i]!, seed) }),
  }))
  return { metric: metric.name, better: metric.better, results }
}

function sumLosses({ rows, cut, dropped }: ExampleLosses): Evaluation['losses'][number] {
  const kept = rows.filter((row) => row !== undefined)
  const tokens = kept.reduce((sum, row) => sum + row.tokens, 0)
  return { loss: kept.reduce((sum, row) => sum + row.sum, 0) / tokens, tokens, cut, dropped }
}
