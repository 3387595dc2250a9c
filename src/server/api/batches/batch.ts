// A batch: a file of requests that are answered in the background, as in OpenAI's API.

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled'

/** Problems of the input file. */
export interface BatchProblem {
  readonly code: string
  readonly message: string
  /** Line of the file, from 1; undefined: the whole file. */
  readonly line?: number | undefined
  readonly param?: string | undefined
}

export interface BatchCounts {
  readonly total: number
  readonly completed: number
  readonly failed: number
}

export interface BatchUsage {
  readonly inputTokens: number
  readonly cachedTokens: number
  readonly outputTokens: number
  readonly reasoningTokens: number
}

/** Seconds since 1970 at which a batch entered a status. */
export interface BatchTimes {
  readonly inProgress?: number | undefined
  readonly finalizing?: number | undefined
  readonly completed?: number | undefined
  readonly failed?: number | undefined
  readonly expired?: number | undefined
  readonly cancelling?: number | undefined
  readonly cancelled?: number | undefined
}

export interface RequestBatch {
  readonly id: string
  readonly status: BatchStatus
  readonly endpoint: string
  readonly inputFileId: string
  /** As the client wrote it. */
  readonly completionWindow: string
  /** The name of the key that asked; '': of requests without a key. */
  readonly owner: string
  readonly metadata: Readonly<Record<string, string>> | undefined
  /** Seconds for which the files of results are kept; undefined: forever. */
  readonly outputSeconds: number | undefined
  /** Seconds since 1970. */
  readonly createdAt: number
  readonly expiresAt: number
  readonly times: BatchTimes
  readonly problems: readonly BatchProblem[]
  readonly counts: BatchCounts
  readonly usage: BatchUsage
  readonly outputFileId?: string | undefined
  readonly errorFileId?: string | undefined
}

/** Final statuses. */
const endStatuses: readonly BatchStatus[] = ['failed', 'completed', 'expired', 'cancelled']

export const hasEnded = ({ status }: Pick<RequestBatch, 'status'>): boolean =>
  endStatuses.includes(status)

export const noUsage: BatchUsage = {
  inputTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
}

/** OpenAI's batch object. */
export function toBatchBody(batch: RequestBatch) {
  const { times, problems, usage } = batch
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    errors: problems.length === 0 ? null : { object: 'list', data: problems.map(toProblemBody) },
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    status: batch.status,
    output_file_id: batch.outputFileId ?? null,
    error_file_id: batch.errorFileId ?? null,
    created_at: batch.createdAt,
    in_progress_at: times.inProgress ?? null,
    expires_at: batch.expiresAt,
    finalizing_at: times.finalizing ?? null,
    completed_at: times.completed ?? null,
    failed_at: times.failed ?? null,
    expired_at: times.expired ?? null,
    cancelling_at: times.cancelling ?? null,
    cancelled_at: times.cancelled ?? null,
    request_counts: batch.counts,
    usage: {
      input_tokens: usage.inputTokens,
      input_tokens_details: { cached_tokens: usage.cachedTokens },
      output_tokens: usage.outputTokens,
      output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      total_tokens: usage.inputTokens + usage.outputTokens,
    },
    metadata: batch.metadata ?? null,
  }
}

const toProblemBody = ({ code, message, line, param }: BatchProblem) => ({
  code,
  message,
  line: line ?? null,
  param: param ?? null,
})
