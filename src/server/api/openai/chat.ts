// POST /v1/chat/completions: answers a conversation, whole or streamed.

import { createEventStream } from '../requests/event-stream.ts'
import { collectAnswers, type CollectedAnswer, sumUsage } from '../requests/collect-answers.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { createRouteHeaders, toRouteField } from '../requests/route-fields.ts'
import { defineRoute, type RouteCall } from '../../route.ts'
import { type ChatBody, chatForm, toChatRequest } from './chat-fields.ts'
import { toLogprobContent, toPromptLogprobs } from './chat-logprobs.ts'
import { createChunkWriter } from './chat-chunks.ts'
import { toFinishReason } from './finish-reason.ts'
import { toUsageBody } from './usage.ts'

export const chatRoute = defineRoute({
  method: 'POST',
  path: '/v1/chat/completions',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Answers a conversation.',
  body: chatForm,
  answer: { type: 'object', required: ['id', 'object', 'created', 'model', 'choices'] },
  async handle(call) {
    const { body, service } = call
    const request = toChatRequest(body, await service.describe())
    return body.stream ? streamChat(call, request) : answerChat(call, request)
  },
})

type ChatCall = RouteCall<ChatBody>
type ChatRequest = ReturnType<typeof toChatRequest>

async function answerChat(call: ChatCall, request: ChatRequest): Promise<Response> {
  const { created, createId, body } = call
  const id = createId('chatcmpl-')
  const { events } = startAnswer(call, request, body.user, id)
  const { answers, model, route } = await collectAnswers(events)
  const usage = sumUsage(
    answers.map((answer) => answer.usage),
    request.copies,
  )
  const [first] = answers
  const completion = {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: answers.map((answer, index) => ({
      index,
      message: toMessage(answer),
      logprobs:
        request.logprobs === undefined
          ? null
          : { content: (answer.tokens ?? []).map(toLogprobContent), refusal: null },
      finish_reason: toFinishReason(answer.reason),
    })),
    usage: toUsageBody(usage),
    ...(first?.promptTokens && { prompt_logprobs: first.promptTokens.map(toPromptLogprobs) }),
    ...toRouteField(route),
  }
  return Response.json(completion, { headers: createRouteHeaders(route) })
}

const toMessage = ({ text, reasoning, calls }: CollectedAnswer) => ({
  role: 'assistant',
  content: text === '' && calls.length > 0 ? null : text,
  refusal: null,
  ...(reasoning !== '' && { reasoning_content: reasoning }),
  ...(calls.length > 0 && {
    tool_calls: calls.map(({ id, name, arguments: given }) => ({
      id,
      type: 'function',
      function: { name, arguments: given },
    })),
  }),
})

async function streamChat(call: ChatCall, request: ChatRequest): Promise<Response> {
  const { created, createId, body } = call
  const id = createId('chatcmpl-')
  const { events, abort } = startAnswer(call, request, body.user, id)
  const writer = createChunkWriter({
    id,
    created,
    copies: request.copies,
    hasLogprobs: request.logprobs !== undefined,
    includesUsage: body.stream_options?.include_usage ?? false,
    countsAlong: body.stream_options?.continuous_usage_stats ?? false,
  })
  return createEventStream({
    events,
    toRecords: writer.toChunks,
    toLastRecords: writer.toLastChunks,
    endMark: '[DONE]',
    toHeaders: (first) => (first.type === 'start' ? createRouteHeaders(first.route) : {}),
    onGone: abort,
  })
}
