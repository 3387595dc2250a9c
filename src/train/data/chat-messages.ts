// Converts the messages of a row to the form of chat templates: names of roles, parts of content,
// calls of tools, and the flags that keep a turn from being learned.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import { parseExactJson } from '../../base/exact-number.ts'
import { readCalls } from './chat-tools.ts'
import { type MessageParts, readParts } from './content-parts.ts'
import type { DataRecord } from './data-format.ts'
import { refusedKeys } from './row-keys.ts'
import type { RowLog } from './row-log.ts'

/** Messages in the form of chat templates. */
export interface ReadMessages {
  readonly messages: readonly ChatMessage[]
  /** Indices of assistant turns that are context only. */
  readonly unlearned: ReadonlySet<number>
}

/** Other names of roles; ShareGPT has its names under "from". */
const roleNames: ReadonlyMap<string, string> = new Map([
  ['developer', 'system'],
  ['function', 'tool'],
])
const senderNames: ReadonlyMap<string, string> = new Map([
  ['human', 'user'],
  ['gpt', 'assistant'],
  ['chatgpt', 'assistant'],
  ['bard', 'assistant'],
  ['bing', 'assistant'],
  ['model', 'assistant'],
  ['function_call', 'assistant'],
  ['observation', 'tool'],
  ['function_response', 'tool'],
  ['function', 'tool'],
])

const flagKeys = ['weight', 'train', 'training'] as const
const ownKeys = new Set<string>([
  ...['role', 'content', 'from', 'value', 'tool_calls', 'function_call'],
  ...flagKeys,
])

/** Whether a message is learned, as its flags say; undefined if it has none. */
function readFlag(message: DataRecord): boolean | string | undefined {
  const given = flagKeys.filter((key) => message[key] !== undefined && message[key] !== null)
  const flags = given.map((key) => {
    const value = message[key]
    if (typeof value === 'boolean') return value
    const number = Number(value)
    return number === 0 || number === 1 ? number === 1 : undefined
  })
  const wrong = flags.indexOf(undefined)
  if (wrong >= 0)
    return `has "${given[wrong]}": ${JSON.stringify(message[given[wrong]!])}, expected 0, 1, true or false`
  return new Set(flags).size > 1
    ? `has flags that differ: ${given.map((key) => `"${key}"`).join(', ')}`
    : flags[0]
}

/** The role and the content, in either form. */
function readSpeech(message: DataRecord): { role: unknown; content: unknown } {
  if (!('from' in message) || 'role' in message) {
    const { role, content } = message
    return { role: roleNames.get(role as string) ?? role, content }
  }
  const { from, value } = message
  return { role: senderNames.get(String(from).toLowerCase()) ?? from, content: value }
}

/** Calls in ShareGPT's "function_call" as JSON text. */
function readCallText(value: unknown): readonly object[] | string {
  try {
    const read = parseExactJson(String(value))
    const calls = (Array.isArray(read) ? read : [read]) as Record<string, unknown>[]
    if (calls.every((call) => typeof call?.['name'] === 'string'))
      return calls.map((call) => ({ type: 'function', function: call }))
  } catch {
    // reported below
  }
  return 'is a "function_call" whose value is not JSON text with a name'
}

/** Whether the text of a message of ShareGPT is calls. */
const isCallText = (message: DataRecord): boolean =>
  message['from'] === 'function_call' && !('role' in message)

interface OneMessage {
  readonly message: DataRecord
  readonly role: string
  readonly parts: MessageParts
  readonly calls: readonly object[] | undefined
}

const createParts = (text: string | undefined): MessageParts => ({
  text,
  thought: undefined,
  calls: [],
  results: [],
})

/** Content and calls of one message, or what is wrong with it. */
function readMessage(message: DataRecord, log: RowLog): OneMessage | string {
  const { role, content } = readSpeech(message)
  if (typeof role !== 'string' || role === '') return 'has no role'
  const isCall = isCallText(message)
  const own = isCall ? readCallText(content) : readCalls(message, log)
  if (typeof own === 'string') return own
  if (isCall) return { message, role, parts: createParts(undefined), calls: own }
  const parts = Array.isArray(content)
    ? readParts(content, log)
    : createParts(typeof content === 'string' ? content : undefined)
  if (typeof parts === 'string') return parts
  const calls = parts.calls.length > 0 ? [...(own ?? []), ...parts.calls] : own
  const isOther = !['string', 'undefined'].includes(typeof content) && content !== null
  if (isOther && !Array.isArray(content))
    return `(${role}) has content that is neither a string nor a list of parts`
  if (parts.text === undefined && !calls && parts.results.length === 0)
    return `(${role}) has no content`
  if (parts.results.length > 0 && role !== 'user')
    return `(${role}) contains a tool_result part, which only the user's messages may`
  return { message, role, parts, calls }
}

/** The keys that go to the chat template in addition to role, content and calls. */
function collectOtherKeys(message: DataRecord, log: RowLog): Record<string, unknown> | string {
  const others: Record<string, unknown> = {}
  // a message is read in one of two forms; keys of the other form are left out
  const unread = 'from' in message && !('role' in message) ? ['content'] : ['from', 'value']
  if (isCallText(message)) unread.push('tool_calls', 'function_call')
  for (const [key, value] of Object.entries(message)) {
    if (unread.includes(key)) log.leftOut.add(`messages[].${key}`)
    if (ownKeys.has(key) || value === null || value === undefined) continue
    const reason = key === 'system' || key === 'tools' ? undefined : refusedKeys.get(key)
    if (reason !== undefined) return `: "${key}" ${reason}`
    others[key] = value
    log.passed.add(`messages[].${key}`)
  }
  return others
}

/** One message as the template's; results of tools are in messages before it. */
function toChatMessages(
  { role, parts, calls }: OneMessage,
  others: Record<string, unknown>,
  log: RowLog,
): ChatMessage[] {
  const { text, thought, results } = parts
  if (calls) log.passed.add('messages[].tool_calls')
  if (thought !== undefined) log.passed.add('messages[].reasoning_content')
  for (const result of results)
    if ('tool_call_id' in result) log.passed.add('messages[].tool_call_id')
  if (results.length > 0 && text === undefined) {
    for (const key of Object.keys(others)) log.leftOut.add(`messages[].${key}`)
    return results
  }
  const spoken: Record<string, unknown> = Object.assign(
    { role, content: text ?? (calls ? '' : null) },
    calls && { tool_calls: calls },
    thought !== undefined && { reasoning_content: thought },
    others,
  )
  return [...results, spoken as ChatMessage]
}

/** Every message of a list, or everything that is wrong with them in one line. */
export function readMessages(list: readonly unknown[], log: RowLog): ReadMessages | string {
  const messages: ChatMessage[] = []
  const unlearned = new Set<number>()
  const problems: string[] = []
  for (const [i, given] of list.entries()) {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      problems.push(`message ${i + 1} is not an object`)
      continue
    }
    const read = readMessage(given as DataRecord, log)
    const others = collectOtherKeys(given as DataRecord, log)
    const flag = readFlag(given as DataRecord)
    const wrong = [read, others, flag].filter((one) => typeof one === 'string')
    if (typeof read === 'string' || typeof others === 'string' || typeof flag === 'string') {
      problems.push(...wrong.map((one) => `message ${i + 1} ${one}`.replace(' : ', ': ')))
      continue
    }
    if (flag === true && read.role !== 'assistant')
      problems.push(`message ${i + 1} (${read.role}) asks to be learned; only the assistant's can`)
    messages.push(...toChatMessages(read, others, log))
    if (flag === false && read.role === 'assistant') unlearned.add(messages.length - 1)
  }
  log.readOnlyTurns += unlearned.size
  return problems.length > 0 ? problems.join(', ') : { messages, unlearned }
}

/** Whether an assistant's turn is empty: no text, no call and no thought. */
const isEmptyTurn = ({ content, tool_calls: calls, reasoning_content: thought }: ChatMessage) =>
  (content === '' || content === null || content === undefined) && !calls && !thought

/**
 * What keeps a chat from being learned from message number `learnedFrom` on: no turn of the
 * assistant, or an empty one.
 */
export function findTurnProblem(
  { messages, unlearned }: ReadMessages,
  learnedFrom = 0,
): string | undefined {
  const turns = messages.flatMap((message, i) =>
    message.role === 'assistant' && i >= learnedFrom ? [i] : [],
  )
  if (turns.length === 0) return 'no message has the role "assistant": there is nothing to learn'
  if (messages[0]!.role === 'assistant')
    return 'the first message is the assistant\'s own: put a "user" or "system" message before it'
  const empty = turns.filter((i) => !unlearned.has(i) && isEmptyTurn(messages[i]!))
  return empty.length === 0
    ? undefined
    : empty.map((i) => `message ${i + 1} (assistant) is empty`).join(', ')
}

/**
 * The messages with the row's system message in front. Throws nothing: a row with two of them is a
 * problem.
 */
export function addSystemMessage(
  read: ReadMessages,
  system: string | undefined,
): ReadMessages | string {
  if (system === undefined || system === '') return read
  if (read.messages[0]?.role === 'system')
    return '"system" and a system message are both given; give one of them'
  return {
    messages: [{ role: 'system', content: system }, ...read.messages],
    unlearned: new Set([...read.unlearned].map((i) => i + 1)),
  }
}
