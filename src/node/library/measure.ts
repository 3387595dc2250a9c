// An expert's scores on held-out rows, row by row, with a bootstrap interval over them.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { evaluate } from '../../eval/evaluate.ts'
import { computeExampleLosses } from '../../eval/losses.ts'
import type { ExampleScore, Metric } from '../../eval/metric.ts'
import { readQuestions } from '../../eval/questions.ts'
import { bootstrap, computeMean, computeSampleMean } from '../../eval/statistics.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import type { LoadedModel } from '../model.ts'
import { nodeMetrics } from '../metric-table.ts'
import type { ExpertRecipe } from './recipe.ts'

export interface Measurement {
  readonly value: number
  /** Ends of the 95 % bootstrap interval over rows. */
  readonly low: number
  readonly high: number
  readonly scores: readonly ExampleScore[]
  /** Empty where the metric needs none. */
  readonly answers: readonly string[]
}

export interface MeasureOptions {
  readonly model: LoadedModel
  readonly held: RawDataset
  readonly labels: readonly string[] | undefined
  /** undefined: the base. */
  readonly adapter: Adapter | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number) => void) | undefined
}

export function getRecipeMetric({ name, metric }: ExpertRecipe): Metric {
  const found = nodeMetrics.get(metric)
  if (found) return found
  throw new OptionError(`Recipe "${name}": there is no metric "${metric}".`)
}

/** The metric over some of the rows, in its own unit. */
export const computeFigure = (
  { transform = (mean) => mean }: Pick<Metric, 'transform'>,
  scores: readonly ExampleScore[],
): number => transform(computeMean(scores))

/** Greedy answers, or the loss of the expected ones, and their scores. */
export async function measureExpert(
  recipe: ExpertRecipe,
  options: MeasureOptions,
): Promise<Measurement> {
  const metric = getRecipeMetric(recipe)
  const answers = metric.needs === 'answers' ? await writeAnswers(recipe, metric, options) : []
  const scores =
    metric.needs === 'answers'
      ? await scoreAnswers(metric, answers, options)
      : await computeLosses(recipe, options)
  return summarizeScores(metric, scores, answers)
}

/** The figure of scores by row, with its interval. */
export function summarizeScores(
  metric: Metric,
  scores: readonly ExampleScore[],
  answers: readonly string[],
): Measurement {
  const { transform = (mean: number) => mean } = metric
  const interval = bootstrap(scores.length, 0, (drawn) =>
    transform(computeSampleMean(scores, drawn)),
  )
  return { value: computeFigure(metric, scores), ...interval, scores, answers }
}

async function writeAnswers(
  { system, newTokens }: ExpertRecipe,
  metric: Metric,
  { model, held, labels, adapter, signal, onProgress }: MeasureOptions,
): Promise<readonly string[]> {
  const { answers } = await evaluate({
    model,
    data: held,
    metrics: [metric],
    candidates: [{ name: 'expert', adapter, system }],
    labels,
    newTokens,
    signal,
    onProgress: (_stage, _candidate, done) => onProgress?.(done),
  })
  return answers[0]!
}

async function scoreAnswers(
  metric: Metric,
  answers: readonly string[],
  { held, labels }: MeasureOptions,
): Promise<ExampleScore[]> {
  const scores: ExampleScore[] = []
  for (const [i, { row, wanted }] of readQuestions(held).entries())
    scores.push(await metric.score({ row, wanted, answer: answers[i]!, ...(labels && { labels }) }))
  return scores
}

async function computeLosses(
  { system }: ExpertRecipe,
  { model, held, adapter, signal, onProgress }: MeasureOptions,
): Promise<ExampleScore[]> {
  const questions = readQuestions(held)
  const losses = await computeExampleLosses(questions, {
    model,
    adapter,
    system,
    maxTokens: 512,
    signal,
    onRow: onProgress,
  })
  return losses.rows.flatMap((loss) => (loss ? [{ value: loss.sum, weight: loss.tokens }] : []))
}
