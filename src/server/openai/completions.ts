// POST /v1/completions: texts and token ids continued, whole or streamed.

import { collectAnswers, type CollectedAnswer, sumUsage } from '../requests/collect-answers.ts'
import { createEventStream } from '../requests/event-stream.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { defineRoute, type RouteCall } from '../route.ts'
import type { AnswerEvent, AnswerRequest, AnswerUsage } from '../service.ts'
import { toPromptLogprobs } from './chat-logprobs.ts'
import { type CompletionBody, completionForm, toCompletionRequest } from './completion-fields.ts'
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
  const { events } = startAnswer(call, request, body.user)
  const { answers, model, promptTexts } = await collectAnswers(events)
  const usage = sumUsage(
    answers.map((answer) => answer.usage),
    request.copies,
  )
  return Response.json({
    id: createId('cmpl-'),
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
  })
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
  const { events, abort } = startAnswer(call, request, body.user)
  const writer = createTextChunkWriter(createId('cmpl-'), created, body, request)
  return createEventStream({
    events,
    toRecords: writer.toChunks,
    toLastRecords: writer.toLastChunks,
    endMark: '[DONE]',
    onGone: abort,
  })
}

/** The chunks of a streamed completion: texts as they come, the reason in each answer's last one. */
function createTextChunkWriter(
  id: string,
  created: number,
  { stream_options: options, logprobs: alternatives }: CompletionBody,
  { copies, echoes }: AnswerRequest,
) {
  const { include_usage: includesUsage, continuous_usage_stats: countsAlong } = options ?? {}
  const usages: AnswerUsage[] = []
  const written: number[] = []
  const writers = new Map<number, ReturnType<typeof createLogprobWriter>>()
  let model = ''
  let promptTokens = 0
  const describeUsage = () => {
    const completionTokens = written.reduce((sum, count) => sum + (count ?? 0), 0)
    return toUsageBody({ promptTokens, cachedTokens: 0, completionTokens, reasoningTokens: 0 })
  }
  const createChunk = (choices: readonly object[], usage: object | null) => ({
    id,
    object: 'text_completion',
    created,
    model,
    choices,
    ...((includesUsage || usage !== null) && { usage }),
  })
  const createText = (
    index: number,
    text: string,
    tokens: Parameters<ReturnType<typeof createLogprobWriter>>[0] = [],
    finish: string | null = null,
  ) => {
    const write = writers.get(index) ?? createLogprobWriter(alternatives ?? 0)
    writers.set(index, write)
    const logprobs = alternatives === undefined || tokens.length === 0 ? null : write(tokens)
    const choice = { index, text, logprobs, finish_reason: finish }
    return createChunk([choice], countsAlong ? describeUsage() : null)
  }
  const toChunks = (event: AnswerEvent): readonly object[] => {
    switch (event.type) {
      case 'start':
        model = event.model
        promptTokens = event.promptTokens.reduce((sum, count) => sum + count, 0)
        // with log-probabilities the prompt comes with its own
        return echoes && alternatives === undefined
          ? event.promptTexts.flatMap((text, p) =>
              Array.from({ length: copies }, (_, copy) => createText(p * copies + copy, text)),
            )
          : []
      case 'prompt':
        return echoes ? [createText(event.index, event.text, event.tokens)] : []
      case 'delta':
        written[event.index] = event.completionTokens
        return [createText(event.index, event.text ?? '', event.tokens)]
      case 'end':
        usages[event.index] = event.usage
        written[event.index] = event.usage.completionTokens
        return [createText(event.index, '', [], toFinishReason(event.reason))]
    }
  }
  return {
    toChunks,
    toLastChunks: () =>
      includesUsage ? [createChunk([], toUsageBody(sumUsage(usages, copies)))] : [],
  }
}
