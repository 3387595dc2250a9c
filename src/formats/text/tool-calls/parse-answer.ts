// A whole answer at once: its text, its reasoning, its calls.

import { createToolCallParser, type ToolCallParserOptions } from './create-parser.ts'
import type { ToolCall, ToolCallEvent, ToolCallFormat } from './tool-call-format.ts'

/** The parts of an answer. */
export interface ParsedAnswer {
  /** All but reasoning and calls; malformed calls are part of it. */
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly ToolCall[]
}

export function parseAnswer(
  format: ToolCallFormat,
  text: string,
  options: ToolCallParserOptions = {},
): ParsedAnswer {
  const parser = createToolCallParser(format, options)
  return joinToolCallEvents([...parser.push(text), ...parser.end()])
}

/** What events say together. */
export function joinToolCallEvents(events: readonly ToolCallEvent[]): ParsedAnswer {
  let text = ''
  let reasoning = ''
  const calls: { name: string; arguments: string; id?: string }[] = []
  for (const event of events) {
    const last = calls.at(-1)
    if (event.type === 'text') text += event.text
    else if (event.type === 'reasoning') reasoning += event.text
    else if (event.type === 'call-start') calls.push({ name: event.name, arguments: '' })
    else if (event.type === 'call-arguments') last!.arguments += event.text
    else if (event.type === 'call-broken') {
      calls.pop()
      text += event.text
    } else if (event.id !== undefined) last!.id = event.id
  }
  return { text, reasoning, calls }
}
