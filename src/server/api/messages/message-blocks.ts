// Turns the blocks of Anthropic's Messages into messages of a chat. Blocks that this model cannot
// read are refused by name.

import { describeValue, isRecord } from '../../../base/schema.ts'
import type { ChatMessage } from '../../../formats/text/chat-template.ts'
import { checkKeys, createValueError } from '../requests/tool-field.ts'

type Block = Readonly<Record<string, unknown>>

/**
 * Some clients change it with every request, so that no prefix would ever be found in the cache.
 */
const billingLine = /^x-anthropic-billing-header:[^\n]*(?:\n|$)/i

/** The text of `system`: a string, or blocks of text. */
export function readSystemText(system: unknown): string | undefined {
  if (system === undefined) return undefined
  const text = readTexts(system, 'system')
    .map((part) => part.replace(billingLine, ''))
    .filter((part) => part !== '')
    .join('\n\n')
  return text === '' ? undefined : text
}

function readTexts(content: unknown, place: string): string[] {
  if (typeof content === 'string') return [content]
  return readBlocks(content, place).map((block, i) => readText(block, `${place}.${i}`))
}

function readBlocks(content: unknown, place: string): readonly Block[] {
  if (!Array.isArray(content) || !content.every(isRecord))
    throw createValueError(
      place,
      `got ${describeValue(content)}, expected a string or a list of blocks`,
    )
  content.forEach((block, i) => checkBlock(block, `${place}.${i}`))
  return content
}

/** Keys of each type of block. `cache_control` asks for what happens anyway. */
const blockKeys: Readonly<Record<string, readonly string[]>> = {
  text: ['text', 'citations'],
  document: ['source', 'title', 'context', 'citations'],
  tool_use: ['id', 'name', 'input', 'caller'],
  tool_result: ['tool_use_id', 'content', 'is_error'],
  thinking: ['thinking', 'signature'],
}

/** Throws RequestError for a key that would have no effect. */
function checkBlock(block: Block, place: string): void {
  const { type } = block
  const own = typeof type === 'string' ? blockKeys[type] : undefined
  if (own) checkKeys(block, ['type', ...own, 'cache_control'], place)
}

/** Text, and documents whose source is text. */
function readText(block: Block, place: string): string {
  const { type, text, source } = block
  if (type === 'text' && typeof text === 'string') return text
  if (type === 'document' && isRecord(source) && source['type'] === 'text') {
    const { data } = source
    if (typeof data !== 'string')
      throw createValueError(
        `${place}.source.data`,
        `got ${describeValue(data)}, expected a string`,
      )
    checkKeys(source, ['type', 'media_type', 'data'], `${place}.source`)
    const { title, context, citations } = block
    if (isRecord(citations) && citations['enabled'] === true)
      throw createValueError(`${place}.citations`, 'answers hold no citations here')
    const parts = [title, context].filter((part) => typeof part === 'string' && part !== '')
    return [...parts, data].join('\n\n')
  }
  throw createValueError(
    place,
    `got a block of type ${describeValue(type)}, expected text, because this model reads text only`,
  )
}

/** The messages of a chat, the system message first. */
export function toChatMessages(messages: unknown, system: unknown): ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0)
    throw createValueError(
      'messages',
      `got ${describeValue(messages)}, expected a list of at least one message`,
    )
  const text = readSystemText(system)
  return [
    ...(text === undefined ? [] : [{ role: 'system', content: text }]),
    ...messages.flatMap((message, i) => toMessages(message, `messages.${i}`)),
  ]
}

function toMessages(message: unknown, place: string): ChatMessage[] {
  if (!isRecord(message))
    throw createValueError(place, `got ${describeValue(message)}, expected an object`)
  checkKeys(message, ['role', 'content'], place)
  const { role, content } = message
  if (role !== 'user' && role !== 'assistant' && role !== 'system')
    throw createValueError(
      `${place}.role`,
      `got ${describeValue(role)}, expected "user" or "assistant"`,
    )
  const at = `${place}.content`
  if (role === 'assistant') return [toAnswer(content, at)]
  return role === 'system'
    ? [{ role, content: readTexts(content, at).join('') }]
    : toQuestion(content, at)
}

/** Results of tools become separate messages, before the text of the same message. */
function toQuestion(content: unknown, place: string): ChatMessage[] {
  if (typeof content === 'string') return [{ role: 'user', content }]
  const results: ChatMessage[] = []
  const texts: string[] = []
  for (const [i, block] of readBlocks(content, place).entries()) {
    const at = `${place}.${i}`
    if (block['type'] === 'tool_result') results.push(toResult(block, at))
    else texts.push(readText(block, at))
  }
  return [...results, ...(texts.length > 0 ? [{ role: 'user', content: texts.join('\n') }] : [])]
}

function toResult(block: Block, place: string): ChatMessage {
  const { tool_use_id: id, content = '', is_error: failed } = block
  if (typeof id !== 'string')
    throw createValueError(
      `${place}.tool_use_id`,
      `got ${describeValue(id)}, expected the id of a call`,
    )
  const text = readTexts(content, `${place}.content`).join('\n')
  return { role: 'tool', tool_call_id: id, content: failed === true ? `Error: ${text}` : text }
}

function toAnswer(content: unknown, place: string): ChatMessage {
  if (typeof content === 'string') return { role: 'assistant', content }
  const texts: string[] = []
  const thoughts: string[] = []
  const calls: object[] = []
  for (const [i, block] of readBlocks(content, place).entries()) {
    const { type, thinking, id, name, input } = block
    if (type === 'thinking' && typeof thinking === 'string') thoughts.push(thinking)
    else if (type === 'tool_use') {
      if (typeof name !== 'string' || !isRecord(input))
        throw createValueError(`${place}.${i}`, 'a tool_use has a name and an input')
      const called = { name, arguments: JSON.stringify(input) }
      calls.push({ id, type: 'function', function: called })
    } else texts.push(readText(block, `${place}.${i}`))
  }
  return {
    role: 'assistant',
    content: texts.join(''),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join('') }),
    ...(calls.length > 0 && { tool_calls: calls }),
  } as ChatMessage
}
