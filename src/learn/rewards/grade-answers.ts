// Grades sampled answers by a metric. A grader that throws or hangs is contained: its answer gets
// 0, and how often that happened is counted.

import { WorkerError } from '../../base/errors.ts'
import type { Metric } from '../../eval/metric.ts'
import type { Question } from '../../eval/questions.ts'

export interface GradedAnswers {
  /** From 0 to 1 for shares; as the metric has it for means, turned round where less is better. */
  readonly rewards: readonly number[]
  /** Answers whose grader took too long. */
  readonly hung: number
  /** Answers whose grader threw. */
  readonly failed: number
}

export interface GradeOptions {
  readonly metric: Metric
  readonly timeoutMs: number
  readonly labels?: readonly string[] | undefined
}

/**
 * Rewards of answers, one after the other. Throws WorkerError if the grader hung or failed on every
 * one of them: then there are no scores of the answers.
 */
export async function gradeAnswers(
  answers: readonly { readonly question: Question; readonly text: string }[],
  { metric, timeoutMs, labels }: GradeOptions,
): Promise<GradedAnswers> {
  const rewards: number[] = []
  const counts = { hung: 0, failed: 0 }
  let lastError: unknown
  for (const { question, text } of answers) {
    const { row, wanted } = question
    const judged = { row, wanted, answer: text, ...(labels && { labels }) }
    try {
      const score = await limitTime(async () => metric.score(judged), timeoutMs)
      if (score === undefined) counts.hung++
      const { value, weight = 1 } = score ?? { value: 0 }
      const mean = weight > 0 ? value / weight : 0
      rewards.push(score && metric.better === 'lower' ? -mean : mean)
    } catch (error) {
      lastError = error
      counts.failed++
      rewards.push(0)
    }
  }
  if (answers.length > 0 && counts.hung + counts.failed === answers.length)
    throw new WorkerError(
      `The grader ${metric.name} ${counts.hung > 0 ? `took longer than ${timeoutMs} ms` : `failed (${String(lastError)})`} on all ${answers.length} answers, so there is nothing to learn from.`,
      { cause: lastError },
    )
  return { rewards, ...counts }
}

/** Undefined if the time is over; what the work does afterwards is nobody's. */
async function limitTime<T>(work: () => Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<undefined>((end) => {
    timer = setTimeout(() => end(undefined), timeoutMs)
  })
  const working = work()
  working.catch(() => undefined) // reported by the race, unless it lost
  try {
    return await Promise.race([working, limit])
  } finally {
    clearTimeout(timer)
  }
}
