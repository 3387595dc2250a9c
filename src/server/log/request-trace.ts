// One span for each request and one for each of its answers, with OpenTelemetry's names for HTTP
// and for generative models. No prompt, no answer and no user is in them.

import type { AnswerRecord, RequestAccount, RequestObserver } from '../accounts/account.ts'
import { toHex } from '../../base/sha256.ts'
import type { TraceSpan } from './span-exporter.ts'
import { parseTraceparent } from './trace-context.ts'

export interface RequestTraceParts {
  readonly export: (span: TraceSpan) => void
  /** Random bytes. */
  readonly random: (count: number) => Uint8Array
  readonly baseName: string
}

/** Spans of one request's answers. */
const mostAnswers = 32

export const createRequestTrace = (parts: RequestTraceParts): RequestObserver => ({
  onEnd: (account) => {
    const parent = parseTraceparent(account.start.parent)
    if (parent?.isSampled === false) return // the caller does not record this trace
    const { random } = parts
    const traceId = parent?.traceId ?? toHex(random(16))
    const spanId = toHex(random(8))
    parts.export(describeRequestSpan(account, traceId, spanId, parent?.spanId))
    for (const answer of account.answers.slice(0, mostAnswers))
      parts.export(describeAnswerSpan(parts, account, answer, traceId, spanId))
  },
})

const describeRequestSpan = (
  account: RequestAccount,
  traceId: string,
  spanId: string,
  parentSpanId: string | undefined,
): TraceSpan => ({
  traceId,
  spanId,
  parentSpanId,
  name: [account.start.method.slice(0, 20), account.route?.path].filter(Boolean).join(' '),
  kind: 'server',
  startMs: account.startedAt,
  endMs: account.startedAt + account.durationMs,
  attributes: {
    'http.request.method': account.start.method.slice(0, 20),
    'http.route': account.route?.path,
    'http.response.status_code': account.status,
    'graft.request_id': account.start.id,
    'graft.key': account.key?.name,
    'graft.disconnected': account.isDisconnected,
  },
  isError: account.status >= 500,
})

const describeAnswerSpan = (
  { random, baseName }: RequestTraceParts,
  account: RequestAccount,
  answer: AnswerRecord,
  traceId: string,
  parentSpanId: string,
): TraceSpan => ({
  traceId,
  spanId: toHex(random(8)),
  parentSpanId,
  name: `generate ${baseName}`,
  kind: 'internal',
  startMs: account.startedAt,
  endMs: account.startedAt + answer.totalSeconds * 1000,
  attributes: {
    'gen_ai.operation.name': 'generate_content',
    'gen_ai.request.model': answer.expert === '' ? baseName : answer.expert,
    'gen_ai.response.model': baseName,
    'gen_ai.response.finish_reasons': [answer.reason],
    'gen_ai.usage.input_tokens': answer.usage.promptTokens,
    'gen_ai.usage.output_tokens': answer.usage.completionTokens,
    'graft.usage.cached_tokens': answer.usage.cachedTokens,
    'graft.first_token_seconds': answer.firstTokenSeconds,
    'graft.prefill_seconds': answer.prefillSeconds,
    'graft.decode_seconds': answer.decodeSeconds,
  },
  isError: answer.reason === 'error',
})
