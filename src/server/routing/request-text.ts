// The text of a request that a router reads.

import { isRecord } from '../../base/schema.ts'
import type { AnswerRequest } from '../service.ts'

/** The user's last message; if it has several parts, those that are text. */
export function findUserText(messages: readonly unknown[]): string | undefined {
  const last = messages.findLast((message) => isRecord(message) && message['role'] === 'user')
  const content: unknown = isRecord(last) ? last['content'] : undefined
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const texts = content.flatMap((part: unknown) =>
    isRecord(part) && typeof part['text'] === 'string' ? [part['text']] : [],
  )
  return texts.join('\n')
}

/** undefined for token ids and for conversations without a user message. */
export function findRequestText({
  conversation,
  prompts = [],
}: Pick<AnswerRequest, 'conversation' | 'prompts'>): string | undefined {
  if (conversation) return findUserText(conversation.messages)
  const [first] = prompts
  return typeof first === 'string' ? first : undefined
}
