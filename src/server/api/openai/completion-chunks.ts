// The chunks of a streamed completion: texts, the finish reason in the last chunk of each answer,
// the usage last.

import type { AnswerEvent, AnswerRequest } from '../../service.ts'
import { createChunkUsage } from './chunk-usage.ts'
import type { CompletionBody } from './completion-fields.ts'
import { createLogprobWriter } from './completion-logprobs.ts'
import { toFinishReason } from './finish-reason.ts'

type LogprobWriter = ReturnType<typeof createLogprobWriter>
type WrittenToken = Parameters<LogprobWriter>[0][number]

interface TextPiece {
  readonly index: number
  readonly text: string
  readonly tokens?: readonly WrittenToken[] | undefined
  readonly finish?: string
}

export function createTextWriter(
  id: string,
  created: number,
  { stream_options: options, logprobs: alternatives }: CompletionBody,
  { copies, echoes }: AnswerRequest,
) {
  const { include_usage: includesUsage, continuous_usage_stats: countsAlong } = options ?? {}
  const usage = createChunkUsage(copies)
  const writers = new Map<number, LogprobWriter>()
  let model = ''
  const createChunk = (choices: readonly object[], counted: object | null) => ({
    id,
    object: 'text_completion',
    created,
    model,
    choices,
    ...((includesUsage || counted !== null) && { usage: counted }),
  })
  const createText = ({ index, text, tokens = [], finish }: TextPiece) => {
    const write = writers.get(index) ?? createLogprobWriter(alternatives ?? 0)
    writers.set(index, write)
    const logprobs = alternatives === undefined || tokens.length === 0 ? null : write(tokens)
    const choice = { index, text, logprobs, finish_reason: finish ?? null }
    return createChunk([choice], countsAlong ? usage.describeSoFar() : null)
  }
  return {
    toChunks(event: AnswerEvent): readonly object[] {
      usage.take(event)
      if (event.type === 'start') model = event.model
      const isScored = alternatives !== undefined
      return listPieces(event, { copies, echoes: echoes ?? false, isScored }).map(createText)
    },
    toLastChunks: () => (includesUsage ? [createChunk([], usage.describeAll())] : []),
  }
}

/** The text of an event. With log-probabilities an echoed prompt comes with its own. */
function listPieces(
  event: AnswerEvent,
  form: { readonly copies: number; readonly echoes: boolean; readonly isScored: boolean },
): readonly TextPiece[] {
  switch (event.type) {
    case 'start':
      return form.echoes && !form.isScored
        ? event.promptTexts.flatMap((text, p) =>
            Array.from({ length: form.copies }, (_, copy) => ({
              index: p * form.copies + copy,
              text,
            })),
          )
        : []
    case 'prompt':
      return form.echoes ? [{ index: event.index, text: event.text, tokens: event.tokens }] : []
    case 'delta':
      return [{ index: event.index, text: event.text ?? '', tokens: event.tokens }]
    case 'end':
      return [{ index: event.index, text: '', finish: toFinishReason(event.reason) }]
  }
}
