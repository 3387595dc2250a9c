// The input of OpenAI's Responses as messages of a chat: texts, items that clients wrote, and items
// of earlier answers that are sent back.

import { describeValue, isRecord } from '../../../base/schema.ts'
import type { ChatMessage } from '../../../formats/text/chat-template.ts'
import { createValueError } from '../requests/tool-field.ts'

type Item = Readonly<Record<string, unknown>>

const textParts: ReadonlySet<unknown> = new Set([
  'input_text',
  'output_text',
  'text',
  'summary_text',
  'reasoning_text',
])

function readText(content: unknown, place: string): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content))
    throw createValueError(
      place,
      `got ${describeValue(content)}, expected a string or a list of parts`,
    )
  return content.map((part, i) => readPart(part, `${place}.${i}`)).join('')
}

function readPart(part: unknown, place: string): string {
  const { type, text, refusal } = isRecord(part) ? part : {}
  if (textParts.has(type) && typeof text === 'string') return text
  if (type === 'refusal' && typeof refusal === 'string') return refusal
  throw createValueError(
    place,
    `got a part of type ${describeValue(type)}, expected input_text, because this model reads text only`,
  )
}

/** An assistant message that is built from several items. */
interface OpenAnswer {
  texts: string[]
  thoughts: string[]
  calls: object[]
}

/** Reads items in order; those of one answer become one message. */
class ConversationReader {
  readonly messages: ChatMessage[] = []
  #answer: OpenAnswer | undefined

  #openAnswer(): OpenAnswer {
    return (this.#answer ??= { texts: [], thoughts: [], calls: [] })
  }

  end(): void {
    const answer = this.#answer
    this.#answer = undefined
    if (!answer || (answer.texts.length === 0 && answer.calls.length === 0)) return
    const { texts, thoughts, calls } = answer
    this.messages.push({
      role: 'assistant',
      content: texts.join(''),
      ...(thoughts.length > 0 && { reasoning_content: thoughts.join('') }),
      ...(calls.length > 0 && { tool_calls: calls }),
    } as ChatMessage)
  }

  add(item: unknown, place: string): void {
    if (!isRecord(item))
      throw createValueError(place, `got ${describeValue(item)}, expected an object`)
    const type = item['type'] ?? (item['role'] === undefined ? undefined : 'message')
    switch (type) {
      case 'message':
        return this.#addMessage(item, place)
      case 'reasoning': {
        const { content, summary } = item
        const given = Array.isArray(content) && content.length > 0 ? content : (summary ?? [])
        // reasoning begins a new answer
        if (this.#answer && this.#answer.texts.length + this.#answer.calls.length > 0) this.end()
        this.#openAnswer().thoughts.push(readText(given, place))
        return
      }
      case 'function_call':
        return this.#addCall(item, place)
      case 'function_call_output':
        return this.#addOutput(item, place)
      default:
        throw createValueError(
          `${place}.type`,
          `got ${describeValue(type)}, expected message, reasoning, function_call or function_call_output; others are not served here`,
        )
    }
  }

  #addMessage({ role, content }: Item, place: string): void {
    const text = readText(content, `${place}.content`)
    if (role === 'assistant') {
      if (this.#answer && this.#answer.calls.length > 0) this.end()
      this.#openAnswer().texts.push(text)
      return
    }
    if (role !== 'user' && role !== 'system' && role !== 'developer')
      throw createValueError(
        `${place}.role`,
        `got ${describeValue(role)}, expected user, assistant, system or developer`,
      )
    this.end()
    this.messages.push({ role: role === 'developer' ? 'system' : role, content: text })
  }

  #addCall({ call_id: id, name, arguments: given = '{}' }: Item, place: string): void {
    if (typeof name !== 'string' || typeof id !== 'string' || typeof given !== 'string')
      throw createValueError(place, 'a function_call has a call_id, a name and arguments as text')
    this.#openAnswer().calls.push({ id, type: 'function', function: { name, arguments: given } })
  }

  #addOutput({ call_id: id, output }: Item, place: string): void {
    if (typeof id !== 'string')
      throw createValueError(
        `${place}.call_id`,
        `got ${describeValue(id)}, expected the id of a call`,
      )
    this.end()
    const content = readText(output, `${place}.output`)
    this.messages.push({ role: 'tool', tool_call_id: id, content } as ChatMessage)
  }
}

/** The chat of `instructions` and `input`. Throws RequestError with the path of what is wrong. */
export function toChatMessages(input: unknown, instructions: string | undefined): ChatMessage[] {
  const reader = new ConversationReader()
  if (instructions !== undefined && instructions !== '')
    reader.messages.push({ role: 'system', content: instructions })
  if (typeof input === 'string') reader.messages.push({ role: 'user', content: input })
  else if (Array.isArray(input) && input.length > 0)
    for (const [i, item] of input.entries()) reader.add(item, `input.${i}`)
  else
    throw createValueError(
      'input',
      `got ${describeValue(input)}, expected a string or a list of at least one item`,
    )
  reader.end()
  return mergeSystemMessages(reader.messages)
}

/** Chat templates take one system message, at the beginning: adjacent ones there become one. */
function mergeSystemMessages(messages: readonly ChatMessage[]): ChatMessage[] {
  const end = messages.findIndex(({ role }) => role !== 'system')
  const count = end < 0 ? messages.length : end
  if (count < 2) return [...messages]
  const content = messages
    .slice(0, count)
    .map((message) => message.content as string)
    .join('\n\n')
  return [{ role: 'system', content }, ...messages.slice(count)]
}
