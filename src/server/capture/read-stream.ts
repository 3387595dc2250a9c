// Assembles the answer of a stream of chat.completion.chunk events.

import { isRecord } from '../../base/schema.ts'

interface StreamedCall {
  id?: unknown
  type: 'function'
  function: { name: string; arguments: string }
}

interface StreamedChoice {
  content: string | null
  reasoning: string
  calls: StreamedCall[]
  finish: unknown
}

/** Limit in bytes of one recorded answer; longer ones are not recorded. */
export const mostAnswerBytes = 8 * 2 ** 20

export interface StreamReader {
  push(bytes: Uint8Array): void
  /** The response as it would be without streaming; undefined if it did not end. */
  end(): Readonly<Record<string, unknown>> | undefined
}

export function createStreamReader(): StreamReader {
  const decoder = new TextDecoder()
  const choices = new Map<number, StreamedChoice>()
  let rest = ''
  let bytes = 0
  let isDone = false
  let head: Readonly<Record<string, unknown>> = {}

  const readLine = (line: string): void => {
    if (!line.startsWith('data:')) return
    const data = line.slice(5).trim()
    if (data === '[DONE]') {
      isDone = true
      return
    }
    const event = parseEvent(data)
    if (!event) return
    head = { id: event['id'], model: event['model'] }
    for (const choice of (event['choices'] as unknown[] | undefined) ?? [])
      addChoice(choices, choice)
  }

  return {
    push(part) {
      bytes += part.length
      if (bytes > mostAnswerBytes) return
      const lines = (rest + decoder.decode(part, { stream: true })).split(/\r\n|\n|\r/)
      rest = lines.pop()!
      for (const line of lines) readLine(line)
    },
    end() {
      if (rest !== '') readLine(rest)
      if (!isDone || bytes > mostAnswerBytes || choices.size === 0) return undefined
      const ordered = [...choices].sort(([a], [b]) => a - b)
      return { ...head, choices: ordered.map(([index, choice]) => toChoice(index, choice)) }
    },
  }
}

function parseEvent(data: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(data)
    return isRecord(value) && (value['choices'] === undefined || Array.isArray(value['choices']))
      ? value
      : undefined
  } catch {
    return undefined
  }
}

function addChoice(choices: Map<number, StreamedChoice>, value: unknown): void {
  if (!isRecord(value)) return
  const index = typeof value['index'] === 'number' ? value['index'] : 0
  const choice = choices.get(index) ?? { content: null, reasoning: '', calls: [], finish: null }
  choices.set(index, choice)
  if (value['finish_reason'] !== null && value['finish_reason'] !== undefined)
    choice.finish = value['finish_reason']
  const delta = isRecord(value['delta']) ? value['delta'] : {}
  if (typeof delta['content'] === 'string')
    choice.content = (choice.content ?? '') + delta['content']
  if (typeof delta['reasoning_content'] === 'string') choice.reasoning += delta['reasoning_content']
  for (const call of Array.isArray(delta['tool_calls']) ? (delta['tool_calls'] as unknown[]) : [])
    addCall(choice.calls, call)
}

function addCall(calls: StreamedCall[], value: unknown): void {
  if (!isRecord(value)) return
  const index = typeof value['index'] === 'number' ? value['index'] : calls.length
  if (index > calls.length || index < 0) return // calls come in order
  const call = (calls[index] ??= { type: 'function', function: { name: '', arguments: '' } })
  if (value['id'] !== undefined) call.id = value['id']
  const given = isRecord(value['function']) ? value['function'] : {}
  if (typeof given['name'] === 'string') call.function.name += given['name']
  if (typeof given['arguments'] === 'string') call.function.arguments += given['arguments']
}

const toChoice = (index: number, { content, reasoning, calls, finish }: StreamedChoice) => ({
  index,
  finish_reason: finish,
  message: {
    role: 'assistant',
    content,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  },
})
