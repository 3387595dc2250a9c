// The body of /v1/messages, and its translation to a request.

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
import { toChatMessages } from './message-blocks.ts'

type GivenRecord = Readonly<Record<string, unknown>>

export const conversationFields = {
  model: modelField,
  messages: createField<readonly unknown[]>('a list', { type: 'array' }, Array.isArray, {
    about: 'the conversation; an assistant message at its end is continued',
  }),
  system: createField<string | readonly unknown[]>(
    'a string or a list of text blocks',
    { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'object' } }] },
    (value) => typeof value === 'string' || Array.isArray(value),
  ),
  tools: toolListField,
  tool_choice: createObjectField('auto, any, tool with a name, or none'),
  thinking: createObjectField(
    'where the chat template has a switch: enabled, adaptive or disabled',
  ),
  output_config: createObjectField('format: a JSON Schema of the answer; effort, for the template'),
  output_format: createObjectField('the older place of output_config.format'),
}

const messageFields = {
  ...conversationFields,
  max_tokens: integer({ from: 1, about: 'new tokens at most' }),
  temperature: number({ from: 0, to: 2, about: '0: always the most likely token (default 1)' }),
  top_p: number({ from: 0, to: 1 }),
  top_k: integer({ from: 0, about: '0: all' }),
  stop_sequences: listOf(string({ filled: true })),
  stream: flag({ about: 'server-sent events' }),
  metadata: createObjectField('user_id: for usage and for what is learned'),
}

/** Values that ask for what happens anyway. */
const refused: Readonly<Record<string, RefusedField>> = {
  service_tier: { reason: 'there are no service tiers here', neutral: ['auto', 'standard_only'] },
  container: { reason: 'no code is run here' },
  mcp_servers: { reason: 'the server calls no other servers', neutral: [[]] },
  context_management: { reason: 'conversations are not changed; leave messages out yourself' },
  inference_geo: { reason: 'there is one place: this machine' },
  cache_control: { reason: 'prefixes are cached automatically', neutral: [{ type: 'ephemeral' }] },
  speed: { reason: 'there is one speed', neutral: ['standard'] },
}

export type ConversationBody = GivenOptions<typeof conversationFields>
export type MessageBody = GivenOptions<typeof messageFields>

export const messageForm: BodyForm<typeof messageFields> = {
  fields: messageFields,
  required: ['max_tokens', 'messages'],
  refused,
}

/** Fields of answers that clients send back are ignored. */
export const countForm: BodyForm<typeof conversationFields> = {
  fields: conversationFields,
  required: ['messages'],
  refused,
}

export function toMessageRequest(body: MessageBody, base: ServedBase): AnswerRequest {
  const { temperature, top_p: topP, top_k: topK, stop_sequences: stop = [] } = body
  const sampling = pickGiven({ temperature, top_p: topP, top_k: topK })
  return {
    model: body.model,
    conversation: toConversation(body, base),
    copies: 1,
    maxTokens: body.max_tokens,
    sampling: readSampling(sampling, base.vocabularySize),
    stop,
    grammar: readFormat(body),
  }
}

export function readUser({ metadata }: MessageBody): string | undefined {
  checkKeys(metadata, ['user_id'], 'metadata')
  const user = metadata?.['user_id']
  if (user === undefined || user === null || typeof user === 'string') return user ?? undefined
  throw createValueError('metadata.user_id', `got ${describeValue(user)}, expected a string`)
}

export function toConversation(body: ConversationBody, base: ServedBase): Conversation {
  const tools = (body.tools ?? []).map(readTool)
  const variables = readVariables(body, base)
  return {
    messages: toChatMessages(body.messages, body.system),
    tools: tools.length > 0 ? tools : undefined,
    ...readChoice(body, tools.length > 0),
    ...(Object.keys(variables).length > 0 && { variables }),
  }
}

function readTool(tool: GivenRecord, i: number): GivenRecord {
  const { type = 'custom', name, description, input_schema: parameters } = tool
  if (type !== 'custom')
    throw createValueError(
      `tools.${i}.type`,
      `got ${describeValue(type)}, expected "custom" or none, because this server runs no own tools`,
    )
  return toFunctionTool({ name, description, parameters }, `tools.${i}`)
}

const choices: ReadonlyMap<unknown, string> = new Map([
  ['auto', 'auto'],
  ['any', 'required'],
  ['none', 'none'],
])

function readChoice(
  { tool_choice: choice }: ConversationBody,
  hasTools: boolean,
): Pick<Conversation, 'toolChoice' | 'oneCall'> {
  if (choice === undefined) return {}
  checkKeys(choice, ['type', 'name', 'disable_parallel_tool_use'], 'tool_choice')
  const { type, name, disable_parallel_tool_use: isSingle } = choice
  if (!hasTools && type !== 'none')
    throw createValueError('tool_choice', 'names a tool, but tools are missing')
  const oneCall = isSingle === true
  if (type === 'tool' && typeof name === 'string')
    return { toolChoice: { type: 'function', function: { name } }, oneCall }
  const toolChoice = choices.get(type)
  if (toolChoice === undefined)
    throw createValueError(
      'tool_choice.type',
      `got ${describeValue(type)}, expected auto, any, none, or tool with a name`,
    )
  return { toolChoice: hasTools ? toolChoice : undefined, oneCall }
}

/**
 * Variables of the chat template. A template without a switch never reasons if reasoning is turned
 * off, and decides freely if the model may choose; neither needs a variable.
 */
function readVariables(
  { thinking, output_config: output }: ConversationBody,
  { chatTemplate }: ServedBase,
) {
  checkKeys(thinking, ['type', 'budget_tokens'], 'thinking')
  checkKeys(output, ['format', 'effort'], 'output_config')
  const variables: Record<string, unknown> = {}
  if (thinking !== undefined) {
    const { type, budget_tokens: budget } = thinking
    if (type !== 'enabled' && type !== 'disabled' && type !== 'adaptive')
      throw createValueError(
        'thinking.type',
        `got ${describeValue(type)}, expected enabled, adaptive or disabled`,
      )
    if (budget !== undefined)
      throw createValueError(
        'thinking.budget_tokens',
        'the length of reasoning is not bounded here; give the type "adaptive"',
      )
    if (type === 'enabled' || chatTemplate.includes('enable_thinking'))
      variables['enable_thinking'] = type !== 'disabled'
  }
  const effort = output?.['effort']
  if (effort !== undefined) variables['reasoning_effort'] = effort
  return variables
}

function readFormat({
  output_config: output,
  output_format: older,
}: ConversationBody): GrammarChoice | undefined {
  const format = output?.['format'] ?? older
  if (format === undefined || format === null) return undefined
  if (!isRecord(format) || format['type'] !== 'json_schema' || !isRecord(format['schema']))
    throw createValueError(
      'output_config.format',
      'expected { "type": "json_schema", "schema": … }',
    )
  return { type: 'json-schema', schema: format['schema'] as SchemaValue }
}
