// Arguments of tool calls in the form that a chat template prints: some templates take an object,
// some JSON text. The other form prints JSON inside a JSON string, or nothing that can be parsed.
// The test for it is that of llama.cpp (common/jinja/caps.cpp).

import { parseExactJson } from '../../base/exact-number.ts'
import type { ChatMessage } from '../../formats/text/chat-template.ts'

type Form = 'object' | 'text'

interface Call {
  readonly function?: { readonly name?: string; readonly arguments?: unknown }
}

const needle = 'argument_needle'

function createProbe(form: Form): ChatMessage[] {
  const given = form === 'object' ? { [needle]: 'x' } : `{"${needle}": "x"}`
  const call = { id: 'call00001', type: 'function', function: { name: 'f', arguments: given } }
  return [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: '', tool_calls: [call] },
  ]
}

/** Whether the template prints arguments of this form as JSON or as named parameters. */
function isPrinted(render: (messages: readonly ChatMessage[]) => string, form: Form): boolean {
  try {
    const text = render(createProbe(form))
    return [`"${needle}":`, `'${needle}':`, `=${needle}>`].some((key) => text.includes(key))
  } catch {
    return false
  }
}

/** The form that arguments must have for this template; undefined where either or neither will do. */
function findNeededForm(render: (messages: readonly ChatMessage[]) => string): Form | undefined {
  const takesObject = isPrinted(render, 'object')
  const takesText = isPrinted(render, 'text')
  return takesObject === takesText ? undefined : takesObject ? 'object' : 'text'
}

/** Arguments in another form; text that is no JSON stays. */
function convertArguments(given: unknown, form: Form): unknown {
  if (form === 'text') return typeof given === 'object' ? JSON.stringify(given) : given
  if (typeof given !== 'string') return given
  try {
    return parseExactJson(given)
  } catch {
    return given
  }
}

const fitCall = (call: Call, form: Form): Call =>
  call.function?.arguments === undefined
    ? call
    : {
        ...call,
        function: {
          ...call.function,
          arguments: convertArguments(call.function.arguments, form),
        },
      }

/**
 * Converts the arguments of calls to the one form that the template prints; messages without calls
 * pass as they are.
 */
export function createArgumentFitter(
  render: (messages: readonly ChatMessage[]) => string,
): (messages: readonly ChatMessage[]) => readonly ChatMessage[] {
  let known: { readonly form: Form | undefined } | undefined
  return (messages) => {
    if (!messages.some((message) => Array.isArray(message['tool_calls']))) return messages
    known ??= { form: findNeededForm(render) }
    const { form } = known
    if (form === undefined) return messages
    return messages.map((message) => {
      const calls = message['tool_calls']
      if (!Array.isArray(calls)) return message
      return { ...message, tool_calls: calls.map((call: Call) => fitCall(call, form)) }
    })
  }
}
