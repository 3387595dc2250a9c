// Events of an answer as the AI SDK's content, whole or as parts of a stream.

import type { AnswerEnd, AnswerEvent, AnswerUsage, CallDelta } from '../../service.ts'
import { toFinishReason } from '../openai/finish-reason.ts'
import type { CollectedAnswer } from '../requests/collect-answers.ts'
import type {
  CallContent,
  CallEnd,
  CallMetadata,
  CallPart,
  CallResponse,
  CallUsage,
} from './specification.ts'

export const toCallEnd = (end: AnswerEnd): CallEnd => ({
  unified: end === 'length' ? 'length' : end === 'calls' ? 'tool-calls' : 'stop',
  raw: toFinishReason(end),
})

export const toCallUsage = (usage: AnswerUsage): CallUsage => ({
  inputTokens: {
    total: usage.promptTokens,
    noCache: usage.promptTokens - usage.cachedTokens,
    cacheRead: usage.cachedTokens,
    cacheWrite: undefined,
  },
  outputTokens: {
    total: usage.completionTokens,
    text: usage.completionTokens - usage.reasoningTokens,
    reasoning: usage.reasoningTokens,
  },
})

export function toContent({ text, reasoning, calls }: CollectedAnswer): CallContent[] {
  const content: CallContent[] = []
  if (reasoning !== '') content.push({ type: 'reasoning', text: reasoning })
  if (text !== '') content.push({ type: 'text', text })
  for (const { id, name, arguments: input } of calls)
    content.push({ type: 'tool-call', toolCallId: id, toolName: name, input })
  return content
}

interface OpenCall {
  readonly id: string
  readonly name: string
  input: string
}

/** The open parts of a stream: text, reasoning or calls; each is closed once. */
export class PartWriter {
  readonly #response: CallResponse
  #open: { readonly type: 'text' | 'reasoning'; readonly id: string } | undefined
  #calls = new Map<number, OpenCall>()
  #blocks = 0
  #metadata: CallMetadata = {}

  constructor(response: CallResponse) {
    this.#response = response
  }

  write(event: AnswerEvent): CallPart[] {
    if (event.type === 'start') {
      const { expert = null, seed, model: modelId } = event
      this.#metadata = { graft: { expert, seed, responseId: this.#response.id } }
      return [Object.assign({ type: 'response-metadata' as const }, this.#response, { modelId })]
    }
    if (event.type === 'prompt') return []
    if (event.type === 'end')
      return [
        ...this.#close(),
        ...this.#closeCalls(),
        {
          type: 'finish',
          finishReason: toCallEnd(event.reason),
          usage: toCallUsage(event.usage),
          providerMetadata: this.#metadata,
        },
      ]
    const { text = '', reasoning = '', call } = event
    return [
      ...this.#writeText('reasoning', reasoning),
      ...this.#writeText('text', text),
      ...(call ? this.#writeCall(call) : []),
    ]
  }

  #writeText(type: 'text' | 'reasoning', delta: string): CallPart[] {
    if (delta === '') return []
    const parts: CallPart[] = []
    if (this.#open?.type !== type) {
      parts.push(...this.#close())
      this.#open = { type, id: String(this.#blocks++) }
      parts.push({ type: `${type}-start`, id: this.#open.id })
    }
    parts.push({ type: `${type}-delta`, id: this.#open.id, delta })
    return parts
  }

  #close(): CallPart[] {
    const open = this.#open
    this.#open = undefined
    return open ? [{ type: `${open.type}-end`, id: open.id }] : []
  }

  #writeCall({ call, id, name, arguments: delta }: CallDelta): CallPart[] {
    const parts: CallPart[] = this.#close()
    if (id !== undefined && name !== undefined) {
      parts.push(...this.#closeCalls())
      this.#calls.set(call, { id, name, input: '' })
      parts.push({ type: 'tool-input-start', id, toolName: name })
    }
    const open = this.#calls.get(call)!
    open.input += delta
    if (delta !== '') parts.push({ type: 'tool-input-delta', id: open.id, delta })
    return parts
  }

  /** A call is complete when the next one begins or the answer ends. */
  #closeCalls(): CallPart[] {
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    return calls.flatMap(({ id, name, input }) => [
      { type: 'tool-input-end', id },
      { type: 'tool-call', toolCallId: id, toolName: name, input },
    ])
  }
}
