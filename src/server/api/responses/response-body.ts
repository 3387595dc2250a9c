// A response object of OpenAI's Responses, whole or as far as it is written.

import type { AnswerEnd, AnswerUsage } from '../../service.ts'
import type { ResponseBody } from './response-fields.ts'

export interface ResponseIds {
  readonly response: string
  readonly create: (prefix: string) => string
}

export type OutputItem = Readonly<Record<string, unknown>> & {
  readonly type: 'reasoning' | 'message' | 'function_call'
}

export const toMessageItem = (id: string, text: string, status: string): OutputItem => ({
  type: 'message',
  id,
  status,
  role: 'assistant',
  content: [toTextPart(text)],
})

export const toTextPart = (text: string) => ({
  type: 'output_text',
  text,
  annotations: [],
  logprobs: [],
})

export const toReasoningPart = (text: string) => ({ type: 'reasoning_text', text })

export const toReasoningItem = (id: string, text: string, status: string): OutputItem => ({
  type: 'reasoning',
  id,
  summary: [],
  content: [toReasoningPart(text)],
  status,
})

export interface CallParts {
  readonly id: string
  readonly callId: string
  readonly name: string
  readonly arguments: string
}

export const toCallItem = (call: CallParts, status: string): OutputItem => ({
  type: 'function_call',
  id: call.id,
  call_id: call.callId,
  name: call.name,
  arguments: call.arguments,
  status,
})

export const toUsage = (usage: AnswerUsage) => ({
  input_tokens: usage.promptTokens,
  input_tokens_details: { cached_tokens: usage.cachedTokens },
  output_tokens: usage.completionTokens,
  output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  total_tokens: usage.promptTokens + usage.completionTokens,
})

export interface ResponseState {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly body: ResponseBody
  /** The reasoning effort that took effect. */
  readonly effort: unknown
  readonly output: readonly OutputItem[]
  /** Undefined while it is written. */
  readonly end?: { readonly reason: AnswerEnd; readonly usage: AnswerUsage; readonly at: number }
  readonly error?: { readonly code: string; readonly message: string }
}

/** All fields that the specification requires, with those of the request repeated. */
export function toResponse(state: ResponseState): Readonly<Record<string, unknown>> {
  const { id, created, model, body, output, end, error } = state
  const isCut = end?.reason === 'length'
  const status = error ? 'failed' : !end ? 'in_progress' : isCut ? 'incomplete' : 'completed'
  return {
    id,
    object: 'response',
    created_at: created,
    completed_at: end && !isCut ? end.at : null,
    status,
    error: error ?? null,
    incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
    ...repeatRequest(body),
    reasoning: { effort: state.effort ?? null, summary: null },
    model,
    output,
    usage: end ? toUsage(end.usage) : null,
  }
}

const repeatRequest = (body: ResponseBody) => ({
  background: false,
  instructions: body.instructions ?? null,
  max_output_tokens: body.max_output_tokens ?? null,
  max_tool_calls: null,
  metadata: body.metadata ?? {},
  parallel_tool_calls: body.parallel_tool_calls ?? true,
  previous_response_id: null,
  prompt_cache_key: body.prompt_cache_key ?? null,
  safety_identifier: body.safety_identifier ?? null,
  service_tier: 'default',
  store: false,
  temperature: body.temperature ?? 1,
  top_p: body.top_p ?? 1,
  frequency_penalty: body.frequency_penalty ?? 0,
  presence_penalty: body.presence_penalty ?? 0,
  text: { format: body.text?.['format'] ?? { type: 'text' } },
  tool_choice: body.tool_choice ?? 'auto',
  tools: (body.tools ?? []).map((tool) =>
    Object.assign({ description: null, parameters: null, strict: null }, tool),
  ),
  top_logprobs: 0,
  truncation: 'disabled',
  user: body.user ?? null,
})
