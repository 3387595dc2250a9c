// The chunks of a streamed chat: the role once, texts and calls as they come, one chunk with the
// reason at each answer's end, the usage last.

import { sumUsage } from '../requests/collect-answers.ts'
import type { AnswerEvent, AnswerUsage } from '../service.ts'
import { toLogprobContent } from './chat-logprobs.ts'
import { toFinishReason } from './finish-reason.ts'
import { toUsageBody } from './usage.ts'

export interface ChunkWriterOptions {
  readonly id: string
  readonly created: number
  readonly copies: number
  readonly hasLogprobs: boolean
  readonly includesUsage: boolean
  readonly countsAlong: boolean
}

export interface ChunkWriter {
  toChunks(event: AnswerEvent): readonly object[]
  toLastChunks(): readonly object[]
}

export function createChunkWriter(options: ChunkWriterOptions): ChunkWriter {
  const { id, created, copies, hasLogprobs, includesUsage, countsAlong } = options
  const usages: AnswerUsage[] = []
  const written: number[] = []
  let model = ''
  let promptTokens = 0
  const describeUsage = () => {
    const completionTokens = written.reduce((sum, count) => sum + count, 0)
    return toUsageBody({ promptTokens, cachedTokens: 0, completionTokens, reasoningTokens: 0 })
  }
  const createChunk = (choices: readonly object[], usage: object | null) => ({
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    choices,
    ...((includesUsage || usage !== null) && { usage }),
  })
  const createDelta = (
    index: number,
    delta: object,
    logprobs: object | null = null,
    finish: string | null = null,
  ) =>
    createChunk(
      [{ index, delta, logprobs, finish_reason: finish }],
      countsAlong ? describeUsage() : null,
    )
  const toChunks = (event: AnswerEvent): readonly object[] => {
    switch (event.type) {
      case 'start':
        model = event.model
        promptTokens = event.promptTokens[0]!
        return Array.from({ length: copies }, (_, index) => {
          written[index] = 0
          return createDelta(index, { role: 'assistant', content: '' })
        })
      case 'prompt':
        return []
      case 'delta': {
        written[event.index] = event.completionTokens
        const content = hasLogprobs ? (event.tokens ?? []).map(toLogprobContent) : undefined
        return [
          createDelta(event.index, toDelta(event), content ? { content, refusal: null } : null),
        ]
      }
      case 'end':
        usages[event.index] = event.usage
        written[event.index] = event.usage.completionTokens
        return [createDelta(event.index, {}, null, toFinishReason(event.reason))]
    }
  }
  return {
    toChunks,
    toLastChunks: () =>
      includesUsage ? [createChunk([], toUsageBody(sumUsage(usages, copies)))] : [],
  }
}

const toDelta = ({ text, reasoning, call }: AnswerEvent & { readonly type: 'delta' }) => ({
  ...(reasoning !== undefined && { reasoning_content: reasoning }),
  ...(text !== undefined && { content: text }),
  ...(call && {
    tool_calls: [
      {
        index: call.call,
        ...(call.id !== undefined && { id: call.id, type: 'function' }),
        function: {
          ...(call.name !== undefined && { name: call.name }),
          arguments: call.arguments,
        },
      },
    ],
  }),
})
