// The chunks of a streamed chat: the role once; texts and calls; one chunk with the finish reason
// of each answer; the usage last.

import type { AnswerEvent } from '../../service.ts'
import { toRouteField } from '../requests/route-fields.ts'
import { toLogprobContent } from './chat-logprobs.ts'
import { createChunkUsage } from './chunk-usage.ts'
import { toFinishReason } from './finish-reason.ts'

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
  const usage = createChunkUsage(copies)
  let model = ''
  const createChunk = (choices: readonly object[], counted: object | null) => ({
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    choices,
    ...((includesUsage || counted !== null) && { usage: counted }),
  })
  const createDelta = (
    index: number,
    delta: object,
    logprobs: object | null = null,
    finish: string | null = null,
  ) =>
    createChunk(
      [{ index, delta, logprobs, finish_reason: finish }],
      countsAlong ? usage.describeSoFar() : null,
    )
  const toChunks = (event: AnswerEvent): readonly object[] => {
    usage.take(event)
    switch (event.type) {
      case 'start':
        model = event.model
        return Array.from({ length: copies }, (_, index) =>
          Object.assign(
            createDelta(index, { role: 'assistant', content: '' }),
            toRouteField(event.route),
          ),
        )
      case 'prompt':
        return []
      case 'delta': {
        const content = hasLogprobs ? (event.tokens ?? []).map(toLogprobContent) : undefined
        const logprobs = content ? { content, refusal: null } : null
        return [createDelta(event.index, toDelta(event), logprobs)]
      }
      case 'end':
        return [createDelta(event.index, {}, null, toFinishReason(event.reason))]
    }
  }
  return {
    toChunks,
    toLastChunks: () => (includesUsage ? [createChunk([], usage.describeAll())] : []),
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
