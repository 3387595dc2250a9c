// The body of /v1/chat/completions, and its translation to a request.

import {
  createField,
  flag,
  type GivenOptions,
  integer,
  isRecord,
  oneOf,
} from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { grammarFields, readGrammar } from '../requests/read-grammar.ts'
import { messagesField } from '../requests/message-field.ts'
import { refusedInChat } from '../requests/refused-fields.ts'
import {
  checkStreamOptions,
  readMinTokens,
  readSampling,
  readSeed,
  readStop,
  samplingFields,
  streamOptionsField,
} from '../requests/sampling-fields.ts'
import { mergedAdaptersField, readModel } from '../requests/merged-adapters.ts'
import { modelField } from '../requests/model-field.ts'
import type { BodyForm } from '../../route.ts'
import type { AnswerRequest, Conversation, ServedBase } from '../../service.ts'

const MOST_TOOLS = 128

const toolsField = createField<readonly Readonly<Record<string, unknown>>[]>(
  `a list of at most ${MOST_TOOLS} functions`,
  {
    type: 'array',
    maxItems: MOST_TOOLS,
    items: {
      type: 'object',
      properties: {
        type: { const: 'function' },
        function: {
          type: 'object',
          properties: {
            name: { type: 'string', pattern: '^[a-zA-Z0-9_-]{1,64}$' },
            description: { type: ['string', 'null'] },
            parameters: { type: ['object', 'null'] },
          },
          required: ['name'],
        },
      },
      required: ['type', 'function'],
    },
  },
  (value) => Array.isArray(value) && value.length <= MOST_TOOLS && value.every(isTool),
  { about: 'functions that the model may call' },
)

const isTool = (tool: unknown): boolean =>
  isRecord(tool) &&
  tool['type'] === 'function' &&
  isRecord(tool['function']) &&
  /^[a-zA-Z0-9_-]{1,64}$/.test(String(tool['function']['name']))

const namedChoice = {
  type: 'object',
  properties: {
    type: { const: 'function' },
    function: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
  },
  required: ['type', 'function'],
}

const toolChoiceField = createField<unknown>(
  '"none", "auto", "required" or { type: "function", function: { name } }',
  { anyOf: [{ enum: ['none', 'auto', 'required'] }, namedChoice] },
  (value) =>
    value === 'none' ||
    value === 'auto' ||
    value === 'required' ||
    (isRecord(value) &&
      value['type'] === 'function' &&
      isRecord(value['function']) &&
      typeof value['function']['name'] === 'string'),
)

export const chatFields = {
  model: modelField,
  merged_adapters: mergedAdaptersField,
  messages: messagesField,
  max_tokens: integer({ from: 1, about: 'the older name of max_completion_tokens' }),
  max_completion_tokens: integer({ from: 1, about: 'new tokens at most; default: what fits' }),
  ...samplingFields,
  ...grammarFields,
  stream_options: streamOptionsField,
  logprobs: flag({ about: 'log-probabilities of the new tokens' }),
  top_logprobs: integer({ from: 0, to: 20, about: 'and of the most likely tokens, with logprobs' }),
  prompt_logprobs: integer({ from: 0, to: 20, about: 'the same of the prompt’s tokens' }),
  tools: toolsField,
  tool_choice: toolChoiceField,
  parallel_tool_calls: flag({ about: 'false: at most one call' }),
  chat_template_kwargs: createField<Readonly<Record<string, unknown>>>(
    'an object',
    { type: 'object' },
    isRecord,
    { about: 'further variables of the chat template' },
  ),
  reasoning_effort: oneOf(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'], {
    about: 'where the chat template reads it',
  }),
  add_generation_prompt: flag({ about: "opens the assistant's turn" }),
  continue_final_message: flag({ about: 'continues the last message, of the assistant' }),
}

export type ChatBody = GivenOptions<typeof chatFields>

export const chatForm: BodyForm<typeof chatFields> = {
  fields: chatFields,
  required: ['messages'],
  refused: refusedInChat,
}

/** The request of a body. Throws RequestError if fields contradict each other. */
export function toChatRequest(body: ChatBody, base: ServedBase): AnswerRequest {
  checkStreamOptions(body)
  const maxTokens = readMaxTokens(body)
  const { logprobs, top_logprobs: top, prompt_logprobs: promptLogprobs, stream } = body
  if (top !== undefined && top > 0 && !logprobs)
    throw new RequestError('top_logprobs needs logprobs: set logprobs to true.', {
      param: 'top_logprobs',
      code: 'invalid_value',
    })
  if (promptLogprobs !== undefined && stream)
    throw new RequestError('prompt_logprobs needs a complete answer: set stream to false.', {
      param: 'prompt_logprobs',
      code: 'invalid_value',
    })
  const alternatives = logprobs ? (top ?? 0) : undefined
  return {
    model: readModel(body, base),
    scales: body.lora,
    conversation: toConversation(body),
    copies: body.n ?? 1,
    maxTokens,
    minTokens: readMinTokens(body, maxTokens),
    sampling: readSampling(body, base.vocabularySize),
    seed: readSeed(body.seed),
    speculate: body.speculate,
    stop: readStop(body.stop),
    grammar: readGrammar(body),
    logprobs: alternatives,
    promptLogprobs,
    tenant: body.cache_salt,
  }
}

export function readMaxTokens({
  max_tokens: older,
  max_completion_tokens: newer,
}: Pick<ChatBody, 'max_tokens' | 'max_completion_tokens'>): number | undefined {
  if (older !== undefined && newer !== undefined && older !== newer)
    throw new RequestError(
      `max_tokens is ${older} and max_completion_tokens is ${newer}: they mean the same. Give one of them.`,
      { param: 'max_tokens', code: 'invalid_value' },
    )
  return newer ?? older
}

export function toConversation(
  body: Pick<
    ChatBody,
    | 'messages'
    | 'tools'
    | 'tool_choice'
    | 'parallel_tool_calls'
    | 'chat_template_kwargs'
    | 'reasoning_effort'
    | 'add_generation_prompt'
    | 'continue_final_message'
  >,
): Conversation {
  const { messages = [], tools = [], reasoning_effort: effort } = body
  const variables = {
    ...body.chat_template_kwargs,
    ...(effort !== undefined && { reasoning_effort: effort }),
  }
  if (tools.length === 0 && body.tool_choice !== undefined && body.tool_choice !== 'none')
    throw new RequestError('tool_choice names a tool, but tools are missing.', {
      param: 'tool_choice',
      code: 'invalid_value',
    })
  return {
    messages,
    tools: tools.length > 0 ? tools : undefined,
    toolChoice: body.tool_choice,
    oneCall: body.parallel_tool_calls === false,
    ...(Object.keys(variables).length > 0 && { variables }),
    opensAnswer: readOpening(body),
  }
}

/** undefined: the last message decides. */
function readOpening({
  messages = [],
  add_generation_prompt: opens,
  continue_final_message: continues,
}: Pick<ChatBody, 'messages' | 'add_generation_prompt' | 'continue_final_message'>):
  boolean | undefined {
  const isBegun = messages.at(-1)?.role === 'assistant'
  if (continues && opens)
    throw new RequestError('add_generation_prompt and continue_final_message exclude each other.', {
      param: 'continue_final_message',
      code: 'invalid_value',
    })
  if (continues && !isBegun)
    throw new RequestError(
      'continue_final_message: expected a last message with the role assistant.',
      {
        param: 'continue_final_message',
        code: 'invalid_value',
      },
    )
  return continues ? false : opens
}
