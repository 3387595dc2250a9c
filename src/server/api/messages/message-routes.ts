// Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens.

import { createErrorBody, type ErrorBody } from '../../error-response.ts'
import { defineRoute, type ErrorDescriber, type Route, type RouteCall } from '../../route.ts'
import type { AnswerRequest, Service } from '../../service.ts'
import { collectAnswers } from '../requests/collect-answers.ts'
import { createEventStream, namedEvents } from '../requests/event-stream.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { createMessageEventWriter, toMessage } from './message-answer.ts'
import {
  countForm,
  type MessageBody,
  messageForm,
  readUser,
  toConversation,
  toMessageRequest,
} from './message-fields.ts'

/** Names that differ from OpenAI's. */
const errorTypes: Readonly<Record<string, string>> = {
  exceed_context_size_error: 'invalid_request_error',
  conflict_error: 'invalid_request_error',
  client_closed_request: 'invalid_request_error',
  not_supported_error: 'invalid_request_error',
  unavailable_error: 'overloaded_error',
  server_error: 'api_error',
}

const describeError: ErrorDescriber = ({ error }: ErrorBody, requestId) => ({
  type: 'error',
  error: { type: errorTypes[error.type] ?? error.type, message: error.message },
  request_id: requestId ?? null,
})

const messagesRoute = defineRoute({
  method: 'POST',
  path: '/v1/messages',
  scope: 'infer',
  tag: 'Anthropic',
  summary: 'Answers a conversation in the form of Anthropic’s Messages.',
  body: messageForm,
  describeError,
  answer: { type: 'object', required: ['id', 'type', 'role', 'content', 'stop_reason', 'usage'] },
  async handle(call) {
    const { body, service } = call
    const request = toMessageRequest(body, await service.describe())
    return body.stream ? streamMessage(call, request) : answerMessage(call, request)
  },
})

type MessageCall = RouteCall<MessageBody>

/** Which of the stop texts ended an answer: the one that its tokens contain. */
async function findStopSequence(
  service: Service,
  { model, stop }: AnswerRequest,
  ids: readonly number[],
): Promise<string | null> {
  if (stop.length < 2) return stop[0] ?? null
  const text = await service.detokenize({ model, ids })
  const found = stop
    .map((one) => ({ one, at: text.indexOf(one) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at || b.one.length - a.one.length)
  return found[0]?.one ?? null
}

async function answerMessage(call: MessageCall, request: AnswerRequest): Promise<Response> {
  const { service, createId, body } = call
  const id = createId('msg_')
  const { events } = startAnswer(call, request, readUser(body), id)
  const { answers, model } = await collectAnswers(events)
  const [answer] = answers
  const { reason, ids } = answer!
  const stop = reason === 'stop' ? await findStopSequence(service, request, ids) : null
  return Response.json(toMessage(id, model, answer!, stop))
}

async function streamMessage(call: MessageCall, request: AnswerRequest): Promise<Response> {
  const { service, createId, body } = call
  const id = createId('msg_')
  const { events, abort } = startAnswer(call, request, readUser(body), id)
  let stop: string | null = null
  const watched = (async function* watch() {
    for await (const event of events) {
      if (event.type === 'end' && event.reason === 'stop')
        stop = await findStopSequence(service, request, event.ids)
      yield event
    }
  })()
  const writer = createMessageEventWriter(id, () => stop)
  const requestId = call.context.get('requestId')
  return createEventStream({
    events: watched,
    form: namedEvents,
    toRecords: writer.toRecords,
    toLastRecords: () => [],
    toErrorRecords: (error) => [describeError(createErrorBody(error), requestId)],
    onGone: abort,
  })
}

const countTokensRoute = defineRoute({
  method: 'POST',
  path: '/v1/messages/count_tokens',
  scope: 'infer',
  tag: 'Anthropic',
  summary: 'Counts the tokens that a conversation takes as a prompt.',
  body: countForm,
  describeError,
  answer: { type: 'object', required: ['input_tokens'] },
  async handle({ service, body }) {
    const conversation = toConversation(body, await service.describe())
    const { ids } = await service.tokenize({
      model: body.model,
      conversation,
      addSpecialTokens: false,
    })
    return Response.json({ input_tokens: ids.length })
  },
})

export const messageRoutes: readonly Route[] = [messagesRoute, countTokensRoute]
