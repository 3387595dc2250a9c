// OpenAI's Responses without a store: POST /v1/responses and /v1/responses/input_tokens.

import { createErrorBody } from '../../error-response.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route, type RouteCall } from '../../route.ts'
import type { AnswerRequest } from '../../service.ts'
import { createEventStream, namedEvents } from '../requests/event-stream.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { ResponseWriter } from './response-events.ts'
import {
  inputTokensForm,
  readEffort,
  type ResponseBody,
  responseForm,
  toConversation,
  toResponseRequest,
} from './response-fields.ts'

const responsesRoute = defineRoute({
  method: 'POST',
  path: '/v1/responses',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Answers in the form of OpenAI’s Responses; nothing is stored.',
  body: responseForm,
  answer: { type: 'object', required: ['id', 'object', 'created_at', 'status', 'output', 'usage'] },
  async handle(call) {
    const { body, service } = call
    const base = await service.describe()
    const request = toResponseRequest(body, base)
    const id = call.createId('resp_')
    const writer = createWriter(call, id, readEffort(body, base))
    return body.stream ? streamResponse(call, request, writer) : answerWhole(call, request, writer)
  },
})

type ResponseCall = RouteCall<ResponseBody>

const createWriter = (
  { created, createId, body }: ResponseCall,
  id: string,
  effort: unknown,
): ResponseWriter =>
  new ResponseWriter({
    id,
    created,
    body,
    effort,
    createId,
    now: () => Math.floor(Date.now() / 1000),
  })

async function answerWhole(
  call: ResponseCall,
  request: AnswerRequest,
  writer: ResponseWriter,
): Promise<Response> {
  const { events } = startAnswer(call, request, call.body.user, writer.id)
  for await (const event of events) writer.toRecords(event)
  return Response.json(writer.response)
}

async function streamResponse(
  call: ResponseCall,
  request: AnswerRequest,
  writer: ResponseWriter,
): Promise<Response> {
  const { events, abort } = startAnswer(call, request, call.body.user, writer.id)
  return createEventStream({
    events,
    form: namedEvents,
    toRecords: (event) => writer.toRecords(event),
    toLastRecords: () => [],
    toErrorRecords: (error) => {
      const { code, message } = createErrorBody(error).error
      return writer.toFailure({ code: code ?? 'server_error', message })
    },
    onGone: abort,
  })
}

const inputTokensRoute = defineRoute({
  method: 'POST',
  path: '/v1/responses/input_tokens',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Counts the tokens that an input takes as a prompt.',
  body: inputTokensForm,
  answer: { type: 'object', required: ['object', 'input_tokens'] },
  async handle({ service, body }) {
    const { ids } = await service.tokenize({
      model: body.model,
      conversation: toConversation(body, await service.describe()),
      addSpecialTokens: false,
    })
    return Response.json({ object: 'response.input_tokens', input_tokens: ids.length })
  },
})

const compactRoute = defineRoute({
  method: 'POST',
  path: '/v1/responses/compact',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Refused: conversations are not shortened here.',
  body: inputTokensForm,
  async handle() {
    throw new RequestError(
      'Conversations are not compacted here: leave out items of the input yourself.',
      { code: 'not_supported' },
    )
  },
})

/** OpenAI's routes for stored responses; nothing is stored. */
const storedRoutes = (
  [
    ['GET', '/v1/responses/{response_id}'],
    ['DELETE', '/v1/responses/{response_id}'],
    ['POST', '/v1/responses/{response_id}/cancel'],
    ['GET', '/v1/responses/{response_id}/input_items'],
  ] as const
).map(([method, path]) =>
  defineRoute({
    method,
    path,
    scope: 'infer',
    tag: 'OpenAI',
    summary: 'Answers 404: responses are not stored.',
    async handle({ parameters }) {
      const id = JSON.stringify(parameters['response_id']!.slice(0, 100))
      throw new RequestError(
        `There is no response ${id}: responses are not stored here. Keep what /v1/responses answered, and send its items as input.`,
        { status: 404, param: 'response_id', code: 'response_not_stored' },
      )
    },
  }),
)

export const responseRoutes: readonly Route[] = [
  responsesRoute,
  inputTokensRoute,
  compactRoute,
  ...storedRoutes,
]
