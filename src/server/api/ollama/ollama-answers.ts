// Ollama's /api/chat and /api/generate: an answer as one object, or one line per piece.

import { createField, describeValue, flag, isRecord, string } from '../../../base/schema.ts'
import type { ChatMessage } from '../../../formats/text/chat-template.ts'
import { createErrorBody } from '../../error-response.ts'
import { defineRoute, type Route, type RouteCall } from '../../route.ts'
import type { AnswerEvent, AnswerRequest } from '../../service.ts'
import { collectAnswers, type CollectedCall } from '../requests/collect-answers.ts'
import { createEventStream, jsonLines } from '../requests/event-stream.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { createValueError, parseArguments, toFunctionTool } from '../requests/tool-field.ts'
import {
  answerFields,
  describeError,
  describeLoaded,
  readAnswerOptions,
  readThinking,
  refusedAnswerFields,
  toEnd,
} from './ollama-fields.ts'

type GivenRecord = Readonly<Record<string, unknown>>

const listField = createField<readonly GivenRecord[]>(
  'a list of objects',
  { type: 'array', items: { type: 'object' } },
  (value) => Array.isArray(value) && value.every(isRecord),
)

const textOnly = 'this model reads and writes text only'

/** The content of a line in the form of its route: the answer. */
type ToContent = (parts: AnswerParts) => object

interface AnswerParts {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly CollectedCall[]
}

const toChatContent: ToContent = ({ text, reasoning, calls }) => ({
  message: {
    role: 'assistant',
    content: text,
    ...(reasoning !== '' && { thinking: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls.map(toCall) }),
  },
})

const toGeneratedContent: ToContent = ({ text, reasoning }) => ({
  response: text,
  ...(reasoning !== '' && { thinking: reasoning }),
})

const toCall = ({ id, name, arguments: given }: CollectedCall, index: number): object => ({
  id,
  function: { index, name, arguments: parseArguments(given) },
})

const createTime = (): string => new Date().toISOString()

/**
 * The lines of one answer. Calls come complete, at the end, because their arguments are objects.
 */
function createLineWriter(model: string, toContent: ToContent) {
  const calls: CollectedCall[] = []
  const toLine = (parts: Partial<AnswerParts>, end: object): object =>
    Object.assign(
      { model, created_at: createTime() },
      toContent(Object.assign({ text: '', reasoning: '', calls: [] }, parts)),
      end,
    )
  return (event: AnswerEvent): object[] => {
    if (event.type === 'delta') {
      const { text = '', reasoning = '', call } = event
      if (call?.id !== undefined && call.name !== undefined)
        calls[call.call] = { id: call.id, name: call.name, arguments: call.arguments }
      else if (call) calls[call.call]!.arguments += call.arguments
      return text !== '' || reasoning !== '' ? [toLine({ text, reasoning }, { done: false })] : []
    }
    if (event.type !== 'end') return []
    const called = calls.length > 0 ? [toLine({ calls }, { done: false })] : []
    return [...called, toLine({}, toEnd(event.reason, event.usage, event.times))]
  }
}

async function answer(
  call: RouteCall<{ readonly model?: string; readonly stream?: boolean }>,
  request: AnswerRequest,
  toContent: ToContent,
): Promise<Response> {
  const { body, createId } = call
  const model = body.model! // both routes require it
  const { events, abort } = startAnswer(call, request, undefined, createId('ollama-'))
  if (body.stream === false) {
    const [whole] = (await collectAnswers(events)).answers
    const end = toEnd(whole!.reason, whole!.usage, whole!.times)
    return Response.json({ model, created_at: createTime(), ...toContent(whole!), ...end })
  }
  return createEventStream({
    events,
    form: jsonLines,
    toRecords: createLineWriter(model, toContent),
    toLastRecords: () => [],
    toErrorRecords: (error) => [describeError(createErrorBody(error), undefined)],
    onGone: abort,
  })
}

/** Messages in Ollama's form: arguments as objects, results by the tool's name, thinking. */
function toChatMessage(message: GivenRecord, i: number): ChatMessage {
  const { role, content = '', images, thinking, tool_calls: calls } = message
  const place = `messages.${i}`
  if (typeof role !== 'string' || role === '')
    throw createValueError(`${place}.role`, `got ${describeValue(role)}, expected a role`)
  if (typeof content !== 'string' && content !== null)
    throw createValueError(`${place}.content`, `got ${describeValue(content)}, expected a string`)
  if (Array.isArray(images) && images.length > 0)
    throw createValueError(`${place}.images`, textOnly)
  const name = message['tool_name'] ?? message['name']
  return {
    role,
    content,
    ...(typeof thinking === 'string' && { reasoning_content: thinking }),
    ...(role === 'tool' && typeof name === 'string' && { name }),
    ...(typeof message['tool_call_id'] === 'string' && { tool_call_id: message['tool_call_id'] }),
    ...(Array.isArray(calls) && calls.length > 0 && { tool_calls: calls.map(toGivenCall(place)) }),
  } as ChatMessage
}

const toGivenCall =
  (place: string) =>
  (call: unknown, i: number): object => {
    const called = isRecord(call) ? call['function'] : undefined
    if (!isRecord(called) || typeof called['name'] !== 'string')
      throw createValueError(`${place}.tool_calls.${i}`, 'a call has a function with a name')
    const { name, arguments: given = {} } = called
    const id = isRecord(call) && typeof call['id'] === 'string' ? call['id'] : `call_${i}`
    const text = typeof given === 'string' ? given : JSON.stringify(given)
    return { id, type: 'function', function: { name, arguments: text } }
  }

function readTool(tool: GivenRecord, i: number): GivenRecord {
  const { type, function: described } = tool
  if (type !== 'function' || !isRecord(described))
    throw createValueError(
      `tools.${i}`,
      'expected { "type": "function", "function": { "name": … } }',
    )
  const { name, description, parameters } = described
  return toFunctionTool({ name, description, parameters }, `tools.${i}.function`)
}

const chatRoute = defineRoute({
  method: 'POST',
  path: '/api/chat',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Answers a conversation in Ollama’s form.',
  body: {
    fields: { ...answerFields, messages: listField, tools: listField },
    required: ['model'],
    refused: refusedAnswerFields,
  },
  contentType: 'application/x-ndjson',
  describeError,
  async handle(call) {
    const { body, service } = call
    const { messages = [], tools = [] } = body
    const base = await service.describe()
    const options = readAnswerOptions(body, base)
    if (messages.length === 0)
      return describeLoaded(service, body.model!, { message: { role: 'assistant', content: '' } })
    const variables = readThinking(body.think, base)
    const conversation = {
      messages: messages.map(toChatMessage),
      tools: tools.length > 0 ? tools.map(readTool) : undefined,
      ...(variables && { variables }),
    }
    return answer(call, { ...options, conversation }, toChatContent)
  },
})

const generateRoute = defineRoute({
  method: 'POST',
  path: '/api/generate',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Answers a prompt in Ollama’s form.',
  body: {
    fields: {
      ...answerFields,
      prompt: string({ about: 'the prompt; empty: only load the model' }),
      system: string({ about: 'a system message' }),
      raw: flag({ about: 'the prompt as it is, without a chat template' }),
    },
    required: ['model'],
    refused: {
      ...refusedAnswerFields,
      suffix: { reason: 'these models do not fill in: they continue a text', neutral: [''] },
      images: { reason: textOnly, neutral: [[]] },
      template: { reason: "templates are the server's and the expert's", neutral: [''] },
      context: { reason: 'send the messages to /api/chat', neutral: [[]] },
    },
  },
  contentType: 'application/x-ndjson',
  describeError,
  async handle(call) {
    const { body, service } = call
    const { prompt = '', system, raw = false } = body
    const base = await service.describe()
    const options = readAnswerOptions(body, base)
    if (prompt === '') return describeLoaded(service, body.model!, { response: '' })
    if (raw) {
      if (system !== undefined)
        throw createValueError('system', 'a raw prompt has no system message; write it into it')
      return answer(call, { ...options, prompts: [prompt] }, toGeneratedContent)
    }
    const variables = readThinking(body.think, base)
    const conversation = {
      messages: [
        ...(system === undefined ? [] : [{ role: 'system', content: system }]),
        { role: 'user', content: prompt },
      ],
      ...(variables && { variables }),
    }
    return answer(call, { ...options, conversation }, toGeneratedContent)
  },
})

export const ollamaAnswerRoutes: readonly Route[] = [chatRoute, generateRoute]
