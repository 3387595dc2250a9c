// Turns a call of the AI SDK into the body of /v1/chat/completions, with the checks of that route.

import { checkBody } from '../../read-body.ts'
import type { BodyForm } from '../../route.ts'
import type { AnswerRequest, ServedBase } from '../../service.ts'
import { type ChatBody, chatForm, toChatRequest } from '../openai/chat-fields.ts'
import { toChatMessages } from './read-prompt.ts'
import type { CallTool, CallWarning, LanguageCall } from './specification.ts'

export interface ReadCall {
  readonly request: AnswerRequest
  readonly user: string | undefined
  readonly warnings: CallWarning[]
}

/** Fields of the route that the specification names differently. */
const ownFields = ['messages', 'model', 'stream', 'stream_options', 'n']

/** Throws RequestError, as the route does. */
export function readCall(model: string, call: LanguageCall, base: ServedBase): ReadCall {
  const { graft: own = {} } = call.providerOptions ?? {}
  const taken = Object.keys(own).filter((name) => ownFields.includes(name))
  const warnings: CallWarning[] = taken.map((name) => ({
    type: 'unsupported',
    feature: `providerOptions.graft.${name}`,
    details: 'the call has its own field for this',
  }))
  const given = Object.assign({}, toBody(call, warnings), own)
  for (const name of taken) delete (given as Record<string, unknown>)[name]
  const whole = Object.assign(given, { model, messages: toChatMessages(call.prompt) })
  const entries = Object.entries(whole).filter(([, value]) => value !== undefined && value !== null)
  const body = checkBody(Object.fromEntries(entries), chatForm as unknown as BodyForm) as ChatBody
  return { request: toChatRequest(body, base), user: body.user, warnings }
}

function toBody(call: LanguageCall, warnings: CallWarning[]) {
  const { responseFormat, toolChoice, reasoning } = call
  const tools = readTools(call.tools ?? [], warnings)
  return {
    max_completion_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    top_p: call.topP,
    top_k: call.topK,
    presence_penalty: call.presencePenalty,
    frequency_penalty: call.frequencyPenalty,
    stop: call.stopSequences?.length ? call.stopSequences : undefined,
    seed: call.seed,
    response_format: responseFormat?.type === 'json' ? toFormat(responseFormat.schema) : undefined,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? toChoice(toolChoice) : undefined,
    reasoning_effort: toEffort(reasoning),
  }
}

const toFormat = (schema: unknown) =>
  schema === undefined
    ? { type: 'json_object' }
    : { type: 'json_schema', json_schema: { name: 'answer', schema } }

function readTools(tools: readonly CallTool[], warnings: CallWarning[]) {
  for (const { type, name, id } of tools)
    if (type !== 'function')
      warnings.push({ type: 'unsupported', feature: `the tool ${id ?? name} of a provider` })
  return tools
    .filter(({ type }) => type === 'function')
    .map(({ name, description, inputSchema: parameters }) => ({
      type: 'function',
      function: { name, description, parameters },
    }))
}

const toChoice = (choice: LanguageCall['toolChoice']) =>
  choice?.type === 'tool' ? { type: 'function', function: { name: choice.toolName } } : choice?.type

const toEffort = (reasoning: string | undefined): string | undefined =>
  reasoning === 'provider-default' ? undefined : reasoning === 'max' ? 'xhigh' : reasoning
