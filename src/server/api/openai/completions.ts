// POST /v1/completions: continues texts and token ids, whole or streamed.

import { collectAnswers, type CollectedAnswer, sumUsage } from '../requests/collect-answers.ts'
import { createEventStream } from '../requests/event-stream.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { createRouteHeaders, toRouteField } from '../requests/route-fields.ts'
import { defineRoute, type RouteCall } from '../../route.ts'
import type { AnswerRequest } from '../../service.ts'
import { toPromptLogprobs } from './chat-logprobs.ts'
import { type CompletionBody, completionForm, toCompletionRequest } from './completion-fields.ts'
import { createTextWriter } from './completion-chunks.ts'
import { createLogprobWriter } from './completion-logprobs.ts'
import { toFinishReason } from './finish-reason.ts'
import { toUsageBody } from './usage.ts'

export const completionsRoute = defineRoute({
  method: 'POST',
  path: '/v1/completions',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Continues texts or token ids.',
  body: completionForm,
  answer: { type: 'object', required: ['id', 'object', 'created', 'model', 'choices'] },
  async handle(call) {
    const { body, service } = call
    const request = toCompletionRequest(body, await service.describe())
    return body.stream ? streamCompletions(call, request) : answerCompletions(call, request)
  },
})

type CompletionCall = RouteCall<CompletionBody>

async function answerCompletions(call: CompletionCall, request: AnswerRequest): Promise<Response> {
  const { created, createId, body } = call
  const id = createId('cmpl-')
  const { events } = startAnswer(call, request, body.user, id)
  const { answers, model, promptTexts, route } = await collectAnswers(events)
  const usage = sumUsage(
    answers.map((answer) => answer.usage),
    request.copies,
  )
  const completion = {
    id,
    object: 'text_completion',
    created,
    model,
    choices: answers.map((answer, index) => {
      const prompt = promptTexts[Math.floor(index / request.copies)] ?? ''
      return {
        index,
        text: (request.echoes ? prompt : '') + answer.text,
        logprobs: toLogprobs(answer, body.logprobs, request.echoes ?? false),
        finish_reason: toFinishReason(answer.reason),
        ...(body.prompt_logprobs !== undefined && {
          prompt_logprobs: (answer.promptTokens ?? []).map(toPromptLogprobs),
        }),
      }
    }),
    usage: toUsageBody(usage),
    ...toRouteField(route),
  }
  return Response.json(completion, { headers: createRouteHeaders(route) })
}

function toLogprobs(
  { tokens = [], promptTokens = [] }: CollectedAnswer,
  alternatives: number | undefined,
  echoes: boolean,
): object | null {
  if (alternatives === undefined) return null
  return createLogprobWriter(alternatives)([...(echoes ? promptTokens : []), ...tokens])
}

async function streamCompletions(call: CompletionCall, request: AnswerRequest): Promise<Response> {
  const { created, createId, body } = call
  const id = createId('cmpl-')
  const { events, abort } = startAnswer(call, request, body.user, id)
  const writer = createTextWriter(id, created, body, request)
  return createEventStream({
    events,
    toRecords: writer.toChunks,
    toLastRecords: writer.toLastChunks,
    endMark: '[DONE]',
    toHeaders: (first) => (first.type === 'start' ? createRouteHeaders(first.route) : {}),
    onGone: abort,
  })
}
