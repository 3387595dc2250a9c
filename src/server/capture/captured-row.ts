// A teacher's call as a row that graft train reads: the chat followed by the answer.

import { isRecord } from '../../base/schema.ts'
import { type RedactionCounts, type RedactionRule, redactValue } from './redaction.ts'

export interface CapturedRow {
  readonly messages: readonly unknown[]
  readonly tools?: unknown
  /** The origin of the row; training ignores it. */
  readonly captured: {
    readonly model: string | null
    readonly id: string | null
    /** As ISO 8601. */
    readonly at: string
    /** 'given': the request stated consent; 'assumed': the operator is responsible for it. */
    readonly consent: 'given' | 'assumed'
    readonly redacted: RedactionCounts
  }
}

/** One finished call: the request and the answer, in the shapes of OpenAI's chat. */
export interface TeacherCall {
  readonly request: Readonly<Record<string, unknown>>
  readonly response: Readonly<Record<string, unknown>>
  readonly consent: 'given' | 'assumed'
  readonly at: string
}

const finished: ReadonlySet<unknown> = new Set(['stop', 'tool_calls', 'function_call'])

const isText = (content: unknown): boolean =>
  content === undefined ||
  content === null ||
  typeof content === 'string' ||
  (Array.isArray(content) && content.every((part) => isRecord(part) && part['type'] === 'text'))

/** Deeper nesting of messages and tools has no use, and would overflow the stack. */
const mostDepth = 100

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return depth === 0 || Object.values(value).some((item) => isDeeper(item, depth - 1))
}

/** Rows of a call, one for each choice, or the reason why there are none. */
export function toCapturedRows(
  { request, response, consent, at }: TeacherCall,
  rules: readonly RedactionRule[],
): CapturedRow[] | string {
  const { messages, tools } = request
  const { choices, model, id } = response
  if (!Array.isArray(messages) || messages.length === 0) return 'the request has no messages'
  if (messages.some((message) => !isRecord(message) || !isText(message['content'])))
    return 'a message is not text'
  if (!Array.isArray(choices) || choices.length === 0) return 'the response has no choices'
  if ([messages, tools, choices].some((part) => isDeeper(part, mostDepth)))
    return `messages, tools or the answer are nested deeper than ${mostDepth} levels`
  const rows: CapturedRow[] = []
  for (const choice of choices) {
    const message = isRecord(choice) ? choice['message'] : undefined
    if (!isRecord(message) || !finished.has((choice as { finish_reason?: unknown }).finish_reason))
      return 'the answer was cut off'
    const redacted: RedactionCounts = {}
    const chat = redactValue([...messages, readAnswer(message)], rules, redacted) as unknown[]
    const offered = tools === undefined ? undefined : redactValue(tools, rules, redacted)
    rows.push({
      messages: chat,
      ...(offered !== undefined && { tools: offered }),
      captured: {
        model: redactName(model, rules, redacted),
        id: redactName(id, rules, redacted),
        at,
        consent,
        redacted,
      },
    })
  }
  return rows
}

const redactName = (
  name: unknown,
  rules: readonly RedactionRule[],
  counts: RedactionCounts,
): string | null => (typeof name === 'string' ? String(redactValue(name, rules, counts)) : null)

/** The fields of an answer that are trained on. */
function readAnswer(message: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const answer: Record<string, unknown> = { role: 'assistant', content: message['content'] ?? null }
  for (const name of ['reasoning_content', 'tool_calls'])
    if (message[name] !== undefined && message[name] !== null) answer[name] = message[name]
  return answer
}
