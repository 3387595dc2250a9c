// Content that is a list of parts, as OpenAI and Anthropic write it. Text parts become one text,
// calls and results of tools become what chat templates know; a part of another type is refused.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { RowLog } from './row-log.ts'

/** What the parts of one message hold. */
export interface MessageParts {
  text: string | undefined
  thought: string | undefined
  readonly calls: object[]
  /** Messages of the role "tool". */
  readonly results: ChatMessage[]
}

type Part = Readonly<Record<string, unknown>>

interface PartKind {
  /** Keys in addition to `type` that are used. */
  readonly keys: readonly string[]
  /** Adds the part's content, or returns what is wrong with it. */
  add(part: Part, to: MessageParts, log: RowLog): string | undefined
}

/** Ids may be left out. */
const isId = (id: unknown): boolean => id === undefined || id === null || typeof id === 'string'

const textPart: PartKind = {
  keys: ['text'],
  add({ text }, to) {
    if (typeof text !== 'string') return 'a text part has no "text"'
    to.text = (to.text ?? '') + text
    return undefined
  },
}

const partKinds: ReadonlyMap<string, PartKind> = new Map<string, PartKind>([
  ['text', textPart],
  ['input_text', textPart],
  ['output_text', textPart],
  [
    'thinking',
    {
      keys: ['thinking'],
      add({ thinking }, to) {
        if (typeof thinking !== 'string') return 'a thinking part has no "thinking"'
        to.thought = (to.thought ?? '') + thinking
        return undefined
      },
    },
  ],
  [
    'tool_use',
    {
      keys: ['id', 'name', 'input'],
      add({ id, name, input = {} }, { calls }) {
        if (typeof name !== 'string') return 'a tool_use part has no "name"'
        if (!isId(id)) return 'a tool_use part has an "id" that is not a string'
        const called = { name, arguments: input }
        calls.push({ ...(typeof id === 'string' && { id }), type: 'function', function: called })
        return undefined
      },
    },
  ],
  [
    'tool_result',
    {
      keys: ['tool_use_id', 'content'],
      add({ tool_use_id: id, content = '' }, { results }, log) {
        if (!isId(id)) return 'a tool_result part has a "tool_use_id" that is not a string'
        const text = readPartsText(content, 'tool_result', log)
        if (typeof text !== 'object') return text
        const call = typeof id === 'string' ? { tool_call_id: id } : {}
        results.push({ role: 'tool', content: text.text, ...call })
        return undefined
      },
    },
  ],
])

/** Reads the parts of one message's content; the problem where one cannot be read. */
export function readParts(parts: readonly unknown[], log: RowLog): MessageParts | string {
  const found: MessageParts = { text: undefined, thought: undefined, calls: [], results: [] }
  for (const part of parts) {
    const given = typeof part === 'string' ? { type: 'text', text: part } : part
    if (typeof given !== 'object' || given === null) return 'a part of its content is not an object'
    const { type } = given as Part
    const kind = partKinds.get(String(type))
    if (!kind)
      return `contains a part of type ${JSON.stringify(type) ?? 'nothing'}, and only text can be learned`
    for (const [key, value] of Object.entries(given))
      if (key !== 'type' && !kind.keys.includes(key) && value !== undefined && value !== null)
        log.leftOut.add(`messages[].content[].${key}`)
    const problem = kind.add(given as Part, found, log)
    if (problem !== undefined) return problem
  }
  return found
}

/** The text of content that is only text; the problem where it is something else. */
export function readPartsText(
  content: unknown,
  what: string,
  log: RowLog,
): { readonly text: string } | string {
  if (typeof content === 'string') return { text: content }
  if (!Array.isArray(content)) return `the content of "${what}" is not text`
  const parts = readParts(content, log)
  if (typeof parts === 'string') return `"${what}" ${parts}`
  if (parts.calls.length > 0 || parts.results.length > 0 || parts.thought !== undefined)
    return `"${what}" contains parts that are no text`
  return { text: parts.text ?? '' }
}
