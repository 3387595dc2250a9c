// Chats: { "messages": [{ "role": "user", "content": "…" }, { "role": "assistant", "content": "…"
// }] }, as OpenAI and Anthropic write them, and ShareGPT's: { "conversations": [{ "from": "human",
// "value": "…" }, …] }. Every assistant turn is learned, unless its weight is 0.

import {
  addSystemMessage,
  findTurnProblem,
  readMessages,
  type ReadMessages,
} from './chat-messages.ts'
import { readJsonList, readTools } from './chat-tools.ts'
import { readPartsText } from './content-parts.ts'
import type { DataFormat, DataRecord, SingleExample } from './data-format.ts'
import type { RowLog } from './row-log.ts'

/** The example of a chat that was read and is valid. */
export function toChatExample(
  { messages, unlearned }: ReadMessages,
  tools: readonly object[] | undefined,
  learnedFrom?: number,
): SingleExample {
  return Object.assign(
    { kind: 'chat' as const, messages },
    tools && { tools },
    learnedFrom !== undefined && { learnedFrom },
    unlearned.size > 0 && { unlearned: [...unlearned] },
  )
}

/** The row's own system message; undefined if it has none. */
export function readSystem({ system }: DataRecord, log: RowLog): { text?: string } | string {
  if (system === undefined || system === null) return {}
  return readPartsText(system, 'system', log)
}

/**
 * Counts the messages after the last answer, which are ignored because nothing in them is learned.
 */
export function checkLastMessages({ messages: all }: ReadMessages, log: RowLog): void {
  if (all.at(-1)!.role !== 'assistant') log.leftOut.add('messages[] after the last answer')
}

/** A whole chat that is under one key. */
function readChat(row: DataRecord, key: string, log: RowLog): SingleExample | string {
  const list = readJsonList(row[key])
  if (!Array.isArray(list) || list.length === 0) return `"${key}" must be a list of messages`
  const read = readMessages(list, log)
  if (typeof read === 'string') return read
  const system = readSystem(row, log)
  if (typeof system === 'string') return system
  const problem = findTurnProblem(read)
  if (problem !== undefined) return problem
  checkLastMessages(read, log)
  const whole = addSystemMessage(read, system.text)
  if (typeof whole === 'string') return whole
  const tools = readTools(row, log, key === 'conversations')
  return typeof tools === 'string' ? tools : toChatExample(whole, tools)
}

export const messages: DataFormat = {
  name: 'messages',
  syntax:
    '{ "messages": [{ "role": "user", "content": "…" }, { "role": "assistant", "content": "…" }] }',
  keys: new Set(['messages', 'system', 'tools', 'functions']),
  matches: (row) => 'messages' in row,
  read: (row, log) => readChat(row, 'messages', log),
}

export const sharegpt: DataFormat = {
  name: 'sharegpt',
  syntax:
    '{ "conversations": [{ "from": "human", "value": "…" }, { "from": "gpt", "value": "…" }] }',
  keys: new Set(['conversations', 'system', 'tools', 'functions']),
  matches: (row) => 'conversations' in row,
  read: (row, log) => readChat(row, 'conversations', log),
}
