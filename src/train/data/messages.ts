// Chats: { "messages": [{ "role": "user", "content": "…" }, { "role": "assistant", "content": "…"
// }] }. Every assistant turn is learned.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { DataFormat } from './data-format.ts'

/**
 * What is wrong with a message, if anything. Content may be missing where an assistant only calls
 * tools.
 */
export function findMessageProblem(message: unknown, index: number): string | undefined {
  if (typeof message !== 'object' || message === null)
    return `message ${index + 1} is not an object`
  const { role, content, tool_calls: calls } = message as Record<string, unknown>
  if (typeof role !== 'string' || role === '') return `message ${index + 1} has no role`
  if (
    typeof content === 'string' ||
    Array.isArray(content) ||
    (Array.isArray(calls) && calls.length > 0)
  )
    return undefined
  return `message ${index + 1} (${role}) has no content`
}

export const messages: DataFormat = {
  name: 'messages',
  syntax:
    '{ "messages": [{ "role": "user", "content": "…" }, { "role": "assistant", "content": "…" }] }',
  matches: (row) => 'messages' in row,
  read({ messages: list, tools }) {
    if (!Array.isArray(list) || list.length === 0) return '"messages" must be a list of messages'
    const problems = list.map(findMessageProblem).filter((problem) => problem !== undefined)
    if (problems.length > 0) return problems.join(', ')
    const chat = list as ChatMessage[]
    if (!chat.some(({ role }) => role === 'assistant'))
      return 'no message has the role "assistant": there is nothing to learn'
    if (chat[0]!.role === 'assistant')
      return 'the first message is the assistant\'s own: put a "user" or "system" message before it'
    if (tools !== undefined && tools !== null && !Array.isArray(tools))
      return '"tools" must be a list'
    return {
      kind: 'chat',
      messages: chat,
      ...(Array.isArray(tools) ? { tools: tools as object[] } : {}),
    }
  },
}
