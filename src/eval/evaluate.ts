// How well models do on rows, by any metrics, with intervals, and how sure a difference between two
// of them is.

import { DataError, OptionError } from '../base/errors.ts'
import type { AdapterChoice, Model } from '../runtime/index.ts'
import { createDataError, type RawDataset } from '../train/data/jsonl.ts'
import { type Difference, computeDifference, type Estimate, estimate } from './estimate.ts'
import { computeExampleLosses, type ExampleLosses } from './losses.ts'
import type { MetricInput, Metric, ExampleScore } from './metric.ts'
import { type Question, readQuestions } from './questions.ts'

/** One that is judged: the base, or the base with an adapter. */
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
  /** Longer rows are cut for the loss; 512 unless given. */
  readonly maxTokens?: number | undefined
  /** Tokens of an answer at most; 96 unless given. */
  readonly newTokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  /** Of the intervals. */
  readonly seed?: number | undefined
  readonly date?: Date | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?:
    ((stage: 'loss' | 'answers', candidate: string, done: number, rows: number) => void) | undefined
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
   * Mean loss in nats a token, and what it was taken over, where a metric asked for it; by
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

const answerBatch = 16 // answers that are written at once: enough for speed, few enough for memory

/**
 * Judges candidates on the same rows. Answers are written greedily. Throws DataError that names
 * every row a metric cannot judge, before anything is computed, and OptionError where there is no
 * metric.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { data, metrics, candidates, labels, seed = 0, stop = [] } = options
  if (metrics.length === 0 || candidates.length === 0)
    throw new OptionError('Evaluation: name at least one metric and one candidate.')
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
    for (const { prompt } of questions) prompt(model, candidates[0]!.system)
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
      .map(({ prompt }) => prompt(model, system))
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
