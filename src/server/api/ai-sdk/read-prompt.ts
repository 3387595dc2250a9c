// A prompt of the AI SDK as messages of OpenAI's chat.

import { describeValue, isRecord } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import type { PromptMessage, PromptPart } from './specification.ts'

type Message = Readonly<Record<string, unknown>>

/** Throws RequestError for parts that are not text: images, files. */
export const toChatMessages = (prompt: readonly PromptMessage[]): Message[] =>
  prompt.flatMap((message, i) => convertMessage(message, `prompt.${i}`))

function convertMessage({ role, content }: PromptMessage, place: string): Message[] {
  if (typeof content === 'string') return [{ role, content }]
  if (role === 'tool')
    return content.filter(({ type }) => type === 'tool-result').map(convertResult)
  if (role === 'assistant') return [convertAnswer(content, place)]
  const parts = content.map((part, i) => ({
    type: 'text',
    text: readPart(part, `${place}.content.${i}`),
  }))
  const [only] = parts
  return [{ role, content: parts.length === 1 ? only!.text : parts }]
}

function convertAnswer(parts: readonly PromptPart[], place: string): Message {
  const texts = { text: '', reasoning: '' }
  const calls: Message[] = []
  for (const [i, part] of parts.entries()) {
    const { type, toolCallId, toolName, input = {} } = part
    if ((type === 'text' || type === 'reasoning') && typeof part.text === 'string')
      texts[type] += part.text
    else if (type === 'tool-call')
      calls.push({
        id: toolCallId,
        type: 'function',
        function: { name: toolName, arguments: JSON.stringify(input) },
      })
    else throw createPartError(part, `${place}.content.${i}`)
  }
  const called = calls.length > 0 ? { tool_calls: calls } : {}
  const thought = texts.reasoning === '' ? {} : { reasoning_content: texts.reasoning }
  const content = texts.text === '' && calls.length > 0 ? null : texts.text
  return Object.assign({ role: 'assistant', content }, thought, called)
}

const convertResult = ({ toolCallId, output }: PromptPart): Message => ({
  role: 'tool',
  tool_call_id: toolCallId,
  content: writeOutput(output),
})

function writeOutput(output: unknown): string {
  if (!isRecord(output)) return JSON.stringify(output ?? null)
  const { type, value, reason } = output
  if ((type === 'text' || type === 'error-text') && typeof value === 'string') return value
  if (type === 'execution-denied')
    return typeof reason === 'string' ? reason : 'The call was not allowed.'
  return JSON.stringify(value)
}

/** Text, and files whose content is text. */
function readPart(part: PromptPart, place: string): string {
  const { type, text, mediaType = '', data } = part
  if (type === 'text' && typeof text === 'string') return text
  if (type === 'file' && mediaType.startsWith('text/') && isRecord(data)) {
    if (typeof data['text'] === 'string') return data['text']
    const bytes = data['data']
    if (bytes instanceof Uint8Array) return new TextDecoder().decode(bytes)
  }
  throw createPartError(part, place)
}

const createPartError = ({ type, mediaType }: PromptPart, place: string): RequestError =>
  new RequestError(
    `${place}: got ${describeValue(mediaType === undefined ? type : `${type} of ${mediaType}`)}, expected text, because this model reads text only.`,
    { param: place, code: 'invalid_value' },
  )
