// Writes the results of a batch as its two files: answers and errors.

import type { BatchCounts, BatchUsage } from './batch.ts'
import { noUsage } from './batch.ts'
import { addResultUsage, type BatchResult, isAnswered, toUnanswered } from './batch-lines.ts'

export interface CollectedResults {
  readonly answered: readonly BatchResult[]
  readonly failed: readonly BatchResult[]
  readonly counts: BatchCounts
  readonly usage: BatchUsage
}

const reasons = {
  completed: ['not_answered', 'This request has no result.'],
  expired: [
    'batch_expired',
    'This request could not be executed before the completion window expired.',
  ],
  cancelled: ['batch_cancelled', 'The batch was cancelled before this request was executed.'],
} as const

/**
 * Results in the order of the input; requests without a result are failed. If a request has two
 * results, the first counts.
 */
export function collectResults(
  customIds: readonly string[],
  lines: readonly string[],
  { end, createId }: { readonly end: keyof typeof reasons; readonly createId: () => string },
): CollectedResults {
  const byId = new Map<string, BatchResult>()
  for (const line of lines) {
    const result = JSON.parse(line) as BatchResult
    if (!byId.has(result.custom_id)) byId.set(result.custom_id, result)
  }
  const [code, message] = reasons[end]
  const all = customIds.map(
    (customId) => byId.get(customId) ?? toUnanswered(createId(), customId, code, message),
  )
  const answered = all.filter(isAnswered)
  const failed = all.filter((result) => !isAnswered(result))
  return {
    answered,
    failed,
    counts: { total: all.length, completed: answered.length, failed: failed.length },
    usage: all.reduce(addResultUsage, noUsage),
  }
}

export function* encodeLines(values: readonly unknown[]): Generator<Uint8Array> {
  const encoder = new TextEncoder()
  for (const value of values) yield encoder.encode(`${JSON.stringify(value)}\n`)
}
