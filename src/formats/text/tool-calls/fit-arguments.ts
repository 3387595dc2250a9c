// Arguments of tool calls in the form that a chat template prints: some templates take an object,
// some JSON text. The other form prints JSON inside a JSON string, or nothing that can be parsed.
// The test for it is that of llama.cpp (common/jinja/caps.cpp).

import { parseExactJson } from '../../../base/exact-number.ts'
import type { ChatMessage } from '../chat-template.ts'

/** Arguments as an object, or as its JSON text. */
export type ArgumentForm = 'object' | 'text'

const argumentForms: readonly ArgumentForm[] = ['object', 'text']

export interface MessageCall {
  readonly id?: string
  readonly function?: { readonly name?: string; readonly arguments?: unknown }
}

const needle = 'argument_needle'

function createProbe(form: ArgumentForm): ChatMessage[] {
  const given = form === 'object' ? { [needle]: 'x' } : `{"${needle}": "x"}`
  const call = { id: 'call00001', type: 'function', function: { name: 'f', arguments: given } }
  return [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: '', tool_calls: [call] },
  ]
}

/** Whether the template prints arguments of this form as JSON or as named parameters. */
function isPrinted(
  render: (messages: readonly ChatMessage[]) => string,
  form: ArgumentForm,
): boolean {
  try {
    const text = render(createProbe(form))
    const keys = [
      `"${needle}":`,
      `'${needle}':`,
      `=${needle}>`,
      `{${needle}:`,
      `>${needle}<`,
      `name="${needle}"`,
    ]
    return keys.some((key) => text.includes(key))
  } catch {
    return false
  }
}

/** The forms of arguments that the template prints. */
export const listPrintedForms = (
  render: (messages: readonly ChatMessage[]) => string,
): ArgumentForm[] => argumentForms.filter((form) => isPrinted(render, form))

/** The form that arguments must have for this template; undefined if either or neither will do. */
function findNeededForm(
  render: (messages: readonly ChatMessage[]) => string,
): ArgumentForm | undefined {
  const forms = listPrintedForms(render)
  return forms.length === 1 ? forms[0] : undefined
}

/** Arguments in another form; text that is not JSON stays. */
function convertArguments(given: unknown, form: ArgumentForm): unknown {
  if (form === 'text') return typeof given === 'object' ? JSON.stringify(given) : given
  if (typeof given !== 'string') return given
  try {
    return parseExactJson(given)
  } catch {
    return given
  }
}

/** A call whose arguments have this form. */
export const fitCall = (call: MessageCall, form: ArgumentForm): MessageCall =>
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
  let known: { readonly form: ArgumentForm | undefined } | undefined
  return (messages) => {
    if (!messages.some((message) => Array.isArray(message['tool_calls']))) return messages
    known ??= { form: findNeededForm(render) }
    const { form } = known
    if (form === undefined) return messages
    return messages.map((message) => {
      const calls = message['tool_calls']
      if (!Array.isArray(calls)) return message
      return { ...message, tool_calls: calls.map((call: MessageCall) => fitCall(call, form)) }
    })
  }
}
