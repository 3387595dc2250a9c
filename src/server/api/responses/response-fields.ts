// The body of /v1/responses, and its translation to a request.

import {
  createField,
  describeValue,
  flag,
  type GivenOptions,
  integer,
  isRecord,
  listOf,
  number,
  string,
} from '../../../base/schema.ts'
import type { GrammarChoice, SchemaValue } from '../../../formats/grammar/grammar-choice.ts'
import type { BodyForm, RefusedField } from '../../route.ts'
import type { AnswerRequest, Conversation, ServedBase } from '../../service.ts'
import { modelField } from '../requests/model-field.ts'
import { readSampling } from '../requests/sampling-fields.ts'
import {
  checkKeys,
  createObjectField,
  createValueError,
  pickGiven,
  toFunctionTool,
  toolListField,
} from '../requests/tool-field.ts'
import { toChatMessages } from './response-items.ts'

type GivenRecord = Readonly<Record<string, unknown>>

const inputFields = {
  model: modelField,
  input: createField<string | readonly unknown[]>(
    'a string or a list of items',
    { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'object' } }] },
    (value) => typeof value === 'string' || Array.isArray(value),
    { about: 'the input: a string, or messages, calls and their outputs' },
  ),
  instructions: string({ about: 'a system message before the input' }),
  tools: toolListField,
  tool_choice: createField<string | GivenRecord>(
    'none, auto, required, or an object that names functions',
    { anyOf: [{ enum: ['none', 'auto', 'required'] }, { type: 'object' }] },
    (value) => value === 'none' || value === 'auto' || value === 'required' || isRecord(value),
  ),
  parallel_tool_calls: flag({ about: 'false: at most one call' }),
  reasoning: createObjectField(
    'effort: where the chat template reads it, else given back as null; summary: auto',
  ),
  text: createObjectField('format: text, json_object, or json_schema with a schema'),
}

const responseFields = {
  ...inputFields,
  max_output_tokens: integer({ from: 1, about: 'new tokens at most; default: what fits' }),
  temperature: number({ from: 0, to: 2, about: '0: always the most likely token (default 1)' }),
  top_p: number({ from: 0, to: 1 }),
  frequency_penalty: number({ from: -2, to: 2 }),
  presence_penalty: number({ from: -2, to: 2 }),
  stream: flag({ about: 'server-sent events' }),
  stream_options: createObjectField('include_obfuscation: false'),
  store: flag({ about: 'accepted, and answered false: responses are not stored' }),
  metadata: createObjectField('given back with the response'),
  user: string({ filled: true, about: 'who asks: for usage and for what is learned' }),
  safety_identifier: string({ about: 'given back with the response' }),
  prompt_cache_key: string({
    about: 'given back: requests with one key, and all others, find each other’s prefixes',
  }),
  client_metadata: createObjectField('of the client; has no effect on any server'),
  include: listOf(string({})),
}

const refused: Readonly<Record<string, RefusedField>> = {
  previous_response_id: {
    reason: 'responses are not stored here; send the items of the conversation as input',
  },
  conversation: { reason: 'conversations are not stored here; send their items as input' },
  prompt: { reason: 'prompts are not stored here; send input and instructions' },
  background: { reason: 'a response is answered while its request is open', neutral: [false] },
  truncation: { reason: 'the input is not cut; shorten it', neutral: ['disabled'] },
  top_logprobs: { reason: 'use /v1/chat/completions for log-probabilities', neutral: [0] },
  max_tool_calls: {
    reason:
      'it bounds tools that a server runs, and this one runs none; parallel_tool_calls: false gives one call',
  },
  service_tier: { reason: 'there are no service tiers here', neutral: ['auto', 'default'] },
  prompt_cache_retention: { reason: 'prefixes are cached as long as there is room' },
  context_management: { reason: 'conversations are not changed here', neutral: [[]] },
}

export type InputBody = GivenOptions<typeof inputFields>
export type ResponseBody = GivenOptions<typeof responseFields>

export const responseForm: BodyForm<typeof responseFields> = {
  fields: responseFields,
  required: ['input'],
  refused,
}

export const inputTokensForm: BodyForm<typeof inputFields> = {
  fields: inputFields,
  required: ['input'],
  refused,
}

/** Coding clients ask for it with every request. */
const encryptedReasoning = 'reasoning.encrypted_content'

export function toResponseRequest(body: ResponseBody, base: ServedBase): AnswerRequest {
  const { temperature, top_p, frequency_penalty, presence_penalty } = body
  const sampling = pickGiven({ temperature, top_p, frequency_penalty, presence_penalty })
  checkKeys(body.stream_options, ['include_obfuscation'], 'stream_options')
  const included = body.include?.find((one) => one !== encryptedReasoning)
  if (included !== undefined)
    throw createValueError(
      'include',
      `got ${describeValue(included)}, which is not given here; only ${encryptedReasoning} is accepted, because reasoning is given in plain text`,
    )
  if (body.stream_options?.['include_obfuscation'] === true)
    throw createValueError(
      'stream_options.include_obfuscation',
      'streams are not padded here; set it to false',
    )
  return {
    model: body.model,
    conversation: toConversation(body, base),
    copies: 1,
    maxTokens: body.max_output_tokens,
    sampling: readSampling(sampling, base.vocabularySize),
    stop: [],
    grammar: readFormat(body),
  }
}

/**
 * The effort that the chat template reads; undefined if it reads none, because clients send one to
 * every model. The response reports which one took effect.
 */
export function readEffort({ reasoning }: InputBody, base: ServedBase): unknown {
  const effort = reasoning?.['effort'] ?? undefined
  return base.chatTemplate.includes('reasoning_effort') ? effort : undefined
}

export function toConversation(body: InputBody, base: ServedBase): Conversation {
  checkReasoning(body.reasoning)
  const offered = (body.tools ?? []).map(readTool)
  const { tools, toolChoice } = readChoice(body, offered)
  const effort = readEffort(body, base)
  return {
    messages: toChatMessages(body.input, body.instructions),
    tools: tools.length > 0 ? tools : undefined,
    toolChoice,
    oneCall: body.parallel_tool_calls === false,
    ...(effort !== undefined && { variables: { reasoning_effort: effort } }),
  }
}

/** Reasoning is returned whole, which is all that "auto" asks for. */
function checkReasoning(reasoning: GivenRecord | undefined): void {
  const summaries = ['summary', 'generate_summary']
  checkKeys(reasoning, ['effort', ...summaries], 'reasoning')
  for (const name of summaries) {
    const wanted = reasoning?.[name] ?? 'auto'
    if (wanted !== 'auto')
      throw createValueError(
        `reasoning.${name}`,
        `got ${describeValue(wanted)}, expected "auto" or none, because reasoning is given whole and not summarised`,
      )
  }
}

function readTool(tool: GivenRecord, i: number): GivenRecord {
  const { type, name, description, parameters } = tool
  if (type !== 'function')
    throw createValueError(
      `tools.${i}.type`,
      `got ${describeValue(type)}, expected "function", because this server runs no own tools`,
    )
  return toFunctionTool({ name, description, parameters }, `tools.${i}`)
}

const nameOf = (tool: unknown): unknown =>
  isRecord(tool) && isRecord(tool['function']) ? tool['function']['name'] : undefined

/** The tools that may be called, and OpenAI's tool_choice among them. */
function readChoice(
  { tool_choice: choice }: InputBody,
  tools: readonly GivenRecord[],
): { tools: readonly GivenRecord[]; toolChoice: unknown } {
  if (choice === undefined || choice === 'none')
    return { tools, toolChoice: tools.length > 0 ? choice : undefined }
  if (tools.length === 0 && choice === 'auto') return { tools, toolChoice: undefined }
  if (tools.length === 0)
    throw createValueError('tool_choice', 'names a tool, but tools are missing')
  if (typeof choice === 'string') return { tools, toolChoice: choice }
  const { type, name, mode = 'auto', tools: allowed } = choice
  if (type === 'function' && typeof name === 'string')
    return { tools, toolChoice: { type: 'function', function: { name } } }
  if (
    type === 'allowed_tools' &&
    Array.isArray(allowed) &&
    (mode === 'auto' || mode === 'required')
  ) {
    const names = new Set(allowed.map((one) => (isRecord(one) ? one['name'] : undefined)))
    const chosen = tools.filter((tool) => names.has(nameOf(tool)))
    if (chosen.length < names.size)
      throw createValueError('tool_choice.tools', 'names a tool that tools do not hold')
    return { tools: chosen, toolChoice: mode }
  }
  throw createValueError(
    'tool_choice',
    `got ${describeValue(type)}, expected none, auto, required, a function with a name, or allowed_tools`,
  )
}

function readFormat({ text }: InputBody): GrammarChoice | undefined {
  checkKeys(text, ['format', 'verbosity'], 'text')
  const verbosity = text?.['verbosity'] ?? 'medium'
  if (verbosity !== 'medium')
    throw createValueError(
      'text.verbosity',
      'local models have no such setting; say it in the instructions',
    )
  const format = text?.['format']
  if (format === undefined || format === null) return undefined
  const { type, schema } = isRecord(format) ? format : {}
  if (type === 'text') return undefined
  if (type === 'json_object') return { type: 'json' }
  if (type === 'json_schema' && (isRecord(schema) || typeof schema === 'boolean'))
    return { type: 'json-schema', schema: schema as SchemaValue }
  throw createValueError(
    'text.format',
    type === 'json_schema'
      ? 'json_schema needs a schema'
      : `got the type ${describeValue(type)}, expected text, json_object or json_schema`,
  )
}
