// An answer in the form of Anthropic's Messages, whole or as the events of a stream.

import type { AnswerEnd, AnswerEvent, AnswerUsage } from '../../service.ts'
import type { CollectedAnswer } from '../requests/collect-answers.ts'
import { parseArguments } from '../requests/tool-field.ts'

const stopReasons: Readonly<Record<AnswerEnd, string>> = {
  eos: 'end_turn',
  stop: 'stop_sequence',
  length: 'max_tokens',
  calls: 'tool_use',
}

/** `input_tokens` does not include tokens that were read from the cache. */
export const toUsage = (usage: AnswerUsage) => ({
  input_tokens: usage.promptTokens - usage.cachedTokens,
  output_tokens: usage.completionTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: usage.cachedTokens,
})

const toContent = ({ text, reasoning, calls }: CollectedAnswer): object[] => [
  ...(reasoning === '' ? [] : [{ type: 'thinking', thinking: reasoning, signature: '' }]),
  ...(text === '' ? [] : [{ type: 'text', text }]),
  ...calls.map(({ id, name, arguments: given }) => ({
    type: 'tool_use',
    id,
    name,
    input: parseArguments(given),
  })),
]

export const toMessage = (
  id: string,
  model: string,
  answer: CollectedAnswer,
  stopSequence: string | null,
) => ({
  id,
  type: 'message',
  role: 'assistant',
  model,
  content: toContent(answer),
  stop_reason: stopReasons[answer.reason],
  stop_sequence: stopSequence,
  usage: toUsage(answer.usage),
})

type BlockType = 'thinking' | 'text' | 'tool_use'

export interface MessageEventWriter {
  toRecords(event: AnswerEvent): readonly object[]
}

/**
 * The events of one message: message_start; blocks that begin, grow and end; message_delta with the
 * reason and the usage; message_stop. `findStop`: which stop text ended the answer.
 */
export function createMessageEventWriter(
  id: string,
  findStop: (event: AnswerEvent & { readonly type: 'end' }) => string | null,
): MessageEventWriter {
  let index = -1
  let open: BlockType | undefined
  let openCall: number | undefined
  const close = (): object[] => {
    const records = open === undefined ? [] : [{ type: 'content_block_stop', index }]
    open = undefined
    return records
  }
  const begin = (type: BlockType, block: object): object[] => {
    const ended = close()
    open = type
    index++
    return [...ended, { type: 'content_block_start', index, content_block: { type, ...block } }]
  }
  const grow = (delta: object): object => ({ type: 'content_block_delta', index, delta })
  const toDeltas = (event: AnswerEvent & { readonly type: 'delta' }): object[] => {
    const { text, reasoning, call } = event
    const records: object[] = []
    if (reasoning) {
      if (open !== 'thinking') records.push(...begin('thinking', { thinking: '', signature: '' }))
      records.push(grow({ type: 'thinking_delta', thinking: reasoning }))
    }
    if (text) {
      if (open !== 'text') records.push(...begin('text', { text: '' }))
      records.push(grow({ type: 'text_delta', text }))
    }
    if (call) {
      if (open !== 'tool_use' || openCall !== call.call)
        records.push(...begin('tool_use', { id: call.id, name: call.name, input: {} }))
      openCall = call.call
      if (call.arguments !== '')
        records.push(grow({ type: 'input_json_delta', partial_json: call.arguments }))
    }
    return records
  }
  return {
    toRecords(event) {
      switch (event.type) {
        case 'start':
          return [{ type: 'message_start', message: startMessage(id, event) }]
        case 'prompt':
          return []
        case 'delta':
          return toDeltas(event)
        case 'end': {
          const delta = { stop_reason: stopReasons[event.reason], stop_sequence: findStop(event) }
          return [
            ...close(),
            { type: 'message_delta', delta, usage: toUsage(event.usage) },
            { type: 'message_stop' },
          ]
        }
      }
    },
  }
}

/** All prompt tokens count here, because the number from the cache is known at the end only. */
const startMessage = (id: string, event: AnswerEvent & { readonly type: 'start' }) => ({
  id,
  type: 'message',
  role: 'assistant',
  model: event.model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: toUsage({
    promptTokens: event.promptTokens.reduce((sum, count) => sum + count, 0),
    cachedTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
  }),
})
