// Reads the text of one answer of a conversation as text, reasoning and calls with ids. Text that
// may or may not be a call is emitted when that is decided.

import type { ToolCallParser } from '../../formats/text/tool-calls/create-parser.ts'
import type { ToolCallEvent } from '../../formats/text/tool-calls/tool-call-format.ts'
import type { CallDelta } from '../service.ts'

/** A piece of an answer; one of its fields is set. */
export interface AnswerPiece {
  readonly text?: string
  readonly reasoning?: string
  readonly call?: CallDelta
}

export interface AnswerReader {
  /** Calls that were emitted. */
  readonly calls: number
  push(text: string): AnswerPiece[]
  end(): AnswerPiece[]
}

interface OpenCall {
  readonly name: string
  arguments: string
}

/** `isCertain`: a text that begins as a call is a call. */
export function createAnswerReader(
  parser: ToolCallParser,
  isCertain: boolean,
  createId: () => string,
): AnswerReader {
  let open: OpenCall | undefined
  let calls = 0
  const read = (event: ToolCallEvent): AnswerPiece[] => {
    switch (event.type) {
      case 'text':
        return [{ text: event.text }]
      case 'reasoning':
        return [{ reasoning: event.text }]
      case 'call-start':
        if (!isCertain) {
          open = { name: event.name, arguments: '' }
          return []
        }
        return [{ call: { call: calls++, id: createId(), name: event.name, arguments: '' } }]
      case 'call-arguments':
        if (!open) return [{ call: { call: calls - 1, arguments: event.text } }]
        open.arguments += event.text
        return []
      case 'call-end': {
        if (!open) return []
        const { name, arguments: given } = open
        open = undefined
        return [{ call: { call: calls++, id: createId(), name, arguments: given } }]
      }
      case 'call-broken':
        // A grammar guarantees the call, but the token limit cut it; what was written is emitted.
        if (!open) return []
        open = undefined
        return [{ text: event.text }]
    }
  }
  return {
    get calls() {
      return calls
    },
    push: (text) => parser.push(text).flatMap(read),
    end: () => parser.end().flatMap(read),
  }
}
