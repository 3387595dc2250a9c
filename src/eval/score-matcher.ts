// expect(expert).toScore(…): a matcher for vitest and Jest, which share the form of matchers.

import { OptionError } from '../base/errors.ts'
import {
  checkOptions,
  integer,
  isRecord,
  listOf,
  number,
  type OptionFields,
  positiveInteger,
  string,
  unchecked,
} from '../base/schema.ts'
import type { Model } from '../runtime/index.ts'
import { createRawDataset } from '../train/data/jsonl.ts'
import { evaluate, type Candidate, type EvaluateOptions } from './evaluate.ts'
import { metrics } from './metric-table.ts'
import type { Metric } from './metric.ts'
import { checkRequirements, describeCheck } from './requirements.ts'

export interface ScoreExpectation extends Pick<
  EvaluateOptions,
  'labels' | 'maxTokens' | 'newTokens' | 'stop' | 'seed'
> {
  readonly model: Model
  /** Rows that the expert was not taught with, each as a line of a data file has it. */
  readonly data: readonly object[]
  /** A name in `metrics`, such as 'exact-match', or a metric. */
  readonly metric: string | Metric
  /** Least figure that passes. */
  readonly atLeast?: number | undefined
  /** Largest figure that passes, for perplexity. */
  readonly atMost?: number | undefined
  /** System message for rows that have none. */
  readonly system?: string | undefined
}

const fields = {
  model: unchecked<Model>('a model'),
  data: unchecked<readonly object[]>('a list of rows'),
  metric: unchecked<string | Metric>('the name of a metric, or a metric'),
  atLeast: number(),
  atMost: number(),
  system: string(),
  labels: listOf(string()),
  maxTokens: positiveInteger,
  newTokens: positiveInteger,
  stop: listOf(string()),
  seed: integer(),
} satisfies OptionFields<ScoreExpectation>

/** What a matcher of vitest and Jest returns. */
export interface MatcherResult {
  readonly pass: boolean
  readonly message: () => string
}

function getMetric(metric: string | Metric): Metric {
  const found = isRecord(metric) ? (metric as unknown as Metric) : metrics.get(metric as string)
  if (found) return found
  throw new OptionError(
    `toScore: got the metric ${String(metric)}, expected one of ${[...metrics.keys()].join(', ')}.`,
  )
}

/**
 * Evaluates an expert on rows and compares its figure with a bound. The expert is an adapter or a
 * mixture, or 'base' for the model alone. The figure itself is compared; the message shows its 95 %
 * interval. Throws OptionError, DataError as `evaluate` does.
 */
export async function toScore(
  expert: NonNullable<Candidate['adapter']> | 'base',
  expectation: ScoreExpectation,
): Promise<MatcherResult> {
  checkOptions('toScore', expectation, fields)
  if (typeof expert === 'string' && expert !== 'base')
    throw new OptionError(
      `toScore: got ${JSON.stringify(expert)}, expected an adapter, a mixture or 'base'; loadAdapter reads an adapter from a path.`,
    )
  const { model, data, metric: asked, atLeast, atMost, system, ...options } = expectation
  const metric = getMetric(asked)
  const isBase = expert === 'base'
  const evaluation = await evaluate({
    ...options,
    model,
    data: createRawDataset(data, 'data'),
    metrics: [metric],
    candidates: [
      { name: isBase ? 'base' : 'expert', adapter: isBase ? undefined : expert, system },
    ],
  })
  const [check] = checkRequirements(evaluation, [{ metric: metric.name, atLeast, atMost }])
  return { pass: check!.met, message: () => describeCheck(check!) }
}
