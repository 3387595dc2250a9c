// The finish reason of an answer, by OpenAI's names.

import type { AnswerEnd } from '../../service.ts'

const finishReasons: Readonly<Record<AnswerEnd, string>> = {
  eos: 'stop',
  stop: 'stop',
  length: 'length',
  calls: 'tool_calls',
}

export const toFinishReason = (end: AnswerEnd): string => finishReasons[end]
