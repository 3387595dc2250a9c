// Whether agents that agree are better than one: each agent alone, their vote, and one expert that
// is merged from their changes (TIES: Yadav et al. 2023, arXiv:2306.01708), on the same rows.

import { merge, type MergeOptions } from '../merge/merge.ts'
import type { Adapter } from '../adapters/index.ts'
import { OptionError } from '../base/errors.ts'
import { computeDifference, type Difference, type Estimate, estimate } from '../eval/estimate.ts'
import { evaluate } from '../eval/evaluate.ts'
import type { ExampleScore, Metric } from '../eval/metric.ts'
import { type Question, readQuestions } from '../eval/questions.ts'
import type { Model } from '../runtime/index.ts'
import type { RawDataset } from '../train/data/jsonl.ts'
import { voteAnswers, type VoteOptions } from './vote-answers.ts'

export type MergeAgentsOptions = Omit<MergeOptions, 'name' | 'onModule'>

/** One expert from what several have learned. Default: TIES with a density of 0.5. */
export function mergeAgents(
  experts: Readonly<Record<string, Adapter>>,
  options: MergeAgentsOptions = {},
): Adapter {
  const ties = options.method === undefined ? { method: 'ties', density: 0.5 } : {}
  return merge(experts, Object.assign(ties, options))
}

export interface CompareConsensusOptions {
  readonly model: Model
  readonly data: RawDataset
  /** One that judges answers. */
  readonly metric: Metric
  readonly experts: Readonly<Record<string, Adapter>>
  readonly newTokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  readonly system?: string | undefined
  readonly merge?: MergeAgentsOptions | undefined
  readonly vote?: VoteOptions | undefined
  readonly seed?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ConsensusResult extends Estimate {
  /** An agent's name, 'vote' or 'merged'. */
  readonly name: string
  /** To the best agent alone, on the same rows; undefined for that one. */
  readonly difference: Difference | undefined
}

/**
 * Throws OptionError for a metric that judges no answers, and what merging and evaluating throw.
 */
export async function compareConsensus(
  options: CompareConsensusOptions,
): Promise<readonly ConsensusResult[]> {
  const { model, data, metric, experts, seed = 0, stop, newTokens, system, signal } = options
  if (metric.needs !== 'answers')
    throw new OptionError(`${metric.name}: it scores no answers; choose a metric that does.`)
  const names = Object.keys(experts)
  const all = { ...experts, merged: mergeAgents(experts, options.merge) }
  const { answers } = await evaluate({
    model,
    data,
    metrics: [metric],
    candidates: Object.entries(all).map(([name, adapter]) => ({ name, adapter, system })),
    newTokens,
    stop,
    signal,
  })
  const questions = readQuestions(data, stop ?? [])
  const voted = questions.map(
    (_, row) =>
      voteAnswers(
        names.map((agent, i) => ({ agent, text: answers[i]![row]! })),
        options.vote,
      ).text,
  )
  const scored = new Map<string, readonly ExampleScore[]>()
  for (const [i, name] of Object.keys(all).entries())
    scored.set(name, await scoreAnswers(metric, questions, answers[i]!))
  scored.set('vote', await scoreAnswers(metric, questions, voted))
  return compareScores(metric, scored, names, seed)
}

async function scoreAnswers(
  metric: Metric,
  questions: readonly Question[],
  answers: readonly string[],
): Promise<ExampleScore[]> {
  const scores: ExampleScore[] = []
  for (const [i, { row, wanted }] of questions.entries())
    scores.push(await metric.score({ row, wanted, answer: answers[i]! }))
  return scores
}

function compareScores(
  metric: Metric,
  scored: ReadonlyMap<string, readonly ExampleScore[]>,
  agents: readonly string[],
  seed: number,
): ConsensusResult[] {
  const rows = [...scored].map(([name, scores]) => ({
    name,
    scores,
    found: estimate(metric, scores, seed),
  }))
  const sign = metric.better === 'higher' ? 1 : -1
  const [best] = rows
    .filter(({ name }) => agents.includes(name))
    .toSorted((a, b) => sign * (b.found.value - a.found.value))
  return rows.map(({ name, scores, found }) => ({
    name,
    ...found,
    difference:
      name === best!.name ? undefined : computeDifference(metric, best!.scores, scores, seed),
  }))
}
