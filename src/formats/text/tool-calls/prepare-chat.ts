// A conversation with tools in the words of one model's template: what the template does not write
// itself, functions, earlier calls and their results, is put into messages that it knows.

import { OptionError } from '../../../base/errors.ts'
import { isRecord } from '../../../base/schema.ts'
import type { ChatMessage } from '../chat-template.ts'
import { type ArgumentForm, fitCall, type MessageCall } from './fit-arguments.ts'
import type { TemplateSupport } from './template-support.ts'
import type { ToolCall, ToolCallFormat, ToolDefinition } from './tool-call-format.ts'
import { toFunctionTool } from './tool-definition.ts'

/** What is given to a chat template. */
export interface ToolChat {
  readonly messages: readonly ChatMessage[]
  /** In OpenAI's form; undefined if the template shows none, or there are none. */
  readonly tools: readonly object[] | undefined
}

/**
 * Calls of messages in OpenAI's form; without tools these stay, because the template may know them.
 */
export function prepareToolChat(
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[],
  format: ToolCallFormat,
  support: TemplateSupport,
): ToolChat {
  const written = writeCalls(completeResults(assignIds(messages, format)), format, support)
  if (tools.length === 0) return { messages: written, tools: undefined }
  if (support.showsTools) return { messages: written, tools: tools.map(toFunctionTool) }
  return {
    messages: addSystemText(written, format.describeTools(tools), support),
    tools: undefined,
  }
}

const getCalls = (message: ChatMessage): readonly MessageCall[] => {
  const calls = message['tool_calls']
  return Array.isArray(calls) ? (calls as readonly MessageCall[]) : []
}

const getCallId = (message: ChatMessage): string | undefined => {
  const id = message['tool_call_id']
  return typeof id === 'string' ? id : undefined
}

/** Ids in the form of the format's template: nine characters, if it refuses others. */
function assignIds(
  messages: readonly ChatMessage[],
  { idLength }: ToolCallFormat,
): readonly ChatMessage[] {
  if (idLength === undefined) return messages
  const ids = new Map<string, string>()
  const toId = (id: string): string => {
    const known = ids.get(id) ?? String(ids.size).padStart(idLength, '0')
    ids.set(id, known)
    return known
  }
  return messages.map((message, m) => {
    const id = getCallId(message)
    if (id !== undefined) return { ...message, tool_call_id: toId(id) }
    const calls = getCalls(message)
    if (calls.length === 0) return message
    return {
      ...message,
      tool_calls: calls.map((call, i) => ({ ...call, id: toId(call.id ?? `${m}.${i}`) })),
    }
  })
}

/** Results with the name of the function that was called, which some templates print. */
function completeResults(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const names = new Map<string, string>()
  return messages.map((message) => {
    for (const { id, function: called } of getCalls(message))
      if (id !== undefined && called?.name !== undefined) names.set(id, called.name)
    const name = names.get(getCallId(message) ?? '')
    return message.role === 'tool' && message['name'] === undefined && name !== undefined
      ? { ...message, name }
      : message
  })
}

function writeCalls(
  messages: readonly ChatMessage[],
  format: ToolCallFormat,
  { argumentForms, showsResults, takesSeveralCalls }: TemplateSupport,
): readonly ChatMessage[] {
  const form = argumentForms.includes('object') ? 'object' : argumentForms[0]
  const fitted =
    form === undefined
      ? messages.map((message) => writeCallsAsText(message, format))
      : (takesSeveralCalls ? messages : splitCalls(messages)).map((message) =>
          fitCalls(message, form),
        )
  return showsResults ? fitted : joinResults(fitted, format)
}

function fitCalls(message: ChatMessage, form: ArgumentForm): ChatMessage {
  const calls = getCalls(message)
  if (calls.length === 0) return message
  // Templates read the content of every message; that of calls is often null.
  const content = message.content ?? ''
  return { ...message, content, tool_calls: calls.map((call) => fitCall(call, form)) }
}

/** Throws OptionError for arguments that are no JSON object: no format could write them. */
function toToolCall(call: MessageCall): ToolCall {
  const { name = '', arguments: given = '{}' } = fitCall(call, 'text').function ?? {}
  const text = String(given)
  if (isObjectText(text)) return { name, arguments: text }
  throw new OptionError(
    `An earlier call of ${JSON.stringify(name)} has the arguments ${text.slice(0, 100)}; expected a JSON object.`,
  )
}

function isObjectText(text: string): boolean {
  try {
    return isRecord(JSON.parse(text))
  } catch {
    return false
  }
}

function writeCallsAsText(message: ChatMessage, format: ToolCallFormat): ChatMessage {
  const calls = getCalls(message)
  if (calls.length === 0) return message
  const { tool_calls: _calls, ...rest } = message
  const { content } = message
  const before = typeof content === 'string' && content !== '' ? `${content}\n` : ''
  return {
    ...rest,
    role: message.role,
    content: before + format.formatCalls(calls.map(toToolCall)),
  }
}

/** One call a message, each with its result behind it, for templates that refuse several. */
function splitCalls(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const separated: ChatMessage[] = []
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at]!
    const calls = getCalls(message)
    if (calls.length < 2) {
      separated.push(message)
      continue
    }
    let end = at + 1
    while (messages[end]?.role === 'tool') end++
    const results = messages.slice(at + 1, end)
    calls.forEach((call, i) => {
      separated.push({ ...message, content: i === 0 ? message.content : '', tool_calls: [call] })
      const found = results.findIndex((result) => getCallId(result) === call.id)
      const result = results.splice(Math.max(0, found), 1)[0]
      if (result) separated.push(result)
    })
    separated.push(...results)
    at = end - 1
  }
  return separated
}

/** Results as a user's message, joined with the user's next message. */
function joinResults(messages: readonly ChatMessage[], format: ToolCallFormat): ChatMessage[] {
  const joined: ChatMessage[] = []
  let afterResult = false
  for (const message of messages) {
    const isResult = message.role === 'tool'
    const name = message['name']
    const content = isResult
      ? format.formatResult(toText(message.content), typeof name === 'string' ? name : undefined)
      : message.content
    const last = joined.at(-1)
    if (last && afterResult && (isResult || message.role === 'user') && isText(content))
      joined[joined.length - 1] = { ...last, content: `${toText(last.content)}\n${content}` }
    else joined.push(isResult ? { role: 'user', content } : message)
    afterResult = isResult || (afterResult && message.role === 'user')
  }
  return joined
}

const isText = (content: unknown): content is string => typeof content === 'string'

const toText = (content: unknown): string =>
  isText(content) ? content : content === undefined ? '' : JSON.stringify(content)

/** Text at the end of the system message, or at the beginning of the user's if there is none. */
function addSystemText(
  messages: readonly ChatMessage[],
  text: string,
  { takesSystem }: TemplateSupport,
): readonly ChatMessage[] {
  const at = messages.findIndex(({ role }) => role === 'system' || role === 'developer')
  if (at < 0 && takesSystem) return [{ role: 'system', content: text }, ...messages]
  if (at >= 0)
    return messages.map((message, i) =>
      i === at ? { ...message, content: `${toText(message.content)}\n\n${text}` } : message,
    )
  const user = messages.findIndex(({ role }) => role === 'user')
  if (user < 0) return [{ role: 'user', content: text }, ...messages]
  return messages.map((message, i) =>
    i === user && isText(message.content)
      ? { ...message, content: `${text}\n\n${message.content}` }
      : message,
  )
}
