// Fields of the tools that call the model: a prompt or a conversation, the expert, the sampling.

import { type GivenOptions, string, withInfo } from '../../../../base/schema.ts'
import { RequestError } from '../../../request-error.ts'
import type { AnswerRequest, Conversation, ServedBase } from '../../../service.ts'
import { chatFields, toChatRequest } from '../../openai/chat-fields.ts'
import type { McpToolCall } from '../mcp-tool.ts'

export const conversationFields = {
  prompt: string({ filled: true, about: 'what is asked; or give messages' }),
  messages: withInfo(chatFields.messages, { about: 'a conversation, in place of prompt' }),
  system: string({ filled: true, about: 'a system message in front of prompt' }),
}

export const askFields = {
  ...conversationFields,
  model: chatFields.model,
  max_tokens: withInfo(chatFields.max_tokens, { about: 'new tokens at most; default: what fits' }),
  temperature: chatFields.temperature,
  top_p: chatFields.top_p,
  top_k: chatFields.top_k,
  min_p: chatFields.min_p,
  repetition_penalty: chatFields.repetition_penalty,
  seed: chatFields.seed,
  stop: chatFields.stop,
  user: chatFields.user,
}

export type AskedFields = GivenOptions<typeof askFields>

/** Throws RequestError unless there is exactly one of prompt and conversation. */
export function readMessages({
  prompt,
  messages,
  system,
}: GivenOptions<typeof conversationFields>): Conversation['messages'] {
  if (messages !== undefined) {
    const [param] = Object.entries({ prompt, system }).find(([, text]) => text !== undefined) ?? []
    if (param === undefined) return messages
    throw new RequestError(`${param} and messages exclude each other: write it as a message.`, {
      param,
      code: 'invalid_value',
    })
  }
  if (prompt === undefined)
    throw new RequestError('prompt is missing: give it, or messages.', {
      param: 'prompt',
      code: 'missing_value',
    })
  const first = system === undefined ? [] : [{ role: 'system', content: system }]
  return [...first, { role: 'user', content: prompt }]
}

/** The request of a tool that calls the model. */
export function toAskedRequest(given: AskedFields, base: ServedBase): AnswerRequest {
  const { prompt: _prompt, system: _system, user: _user, ...rest } = given
  return toChatRequest(Object.assign({}, rest, { messages: readMessages(given) }), base)
}

/** Reports each piece of text when it is written. */
export async function* reportPieces<Given>(
  { report }: McpToolCall<Given>,
  events: ReturnType<McpToolCall<Given>['caller']['answer']>,
): ReturnType<McpToolCall<Given>['caller']['answer']> {
  for await (const event of events) {
    if (event.type === 'delta') {
      const { text = '', reasoning = '' } = event
      if (text !== '' || reasoning !== '')
        await report(event.completionTokens, text === '' ? reasoning : text)
    }
    yield event
  }
}
