// The messages of a conversation as clients send them. Unknown fields are passed to the template,
// because clients send names, refusals and annotations along.

import { createField, describeValue, isRecord } from '../../../base/schema.ts'
import type { ChatMessage } from '../../../formats/text/chat-template.ts'

/** Parts that are text: of OpenAI's chat, and of answers that are sent back. */
const textTypes = ['text', 'input_text', 'output_text']

const partSchema = {
  type: 'object',
  properties: { type: { enum: textTypes }, text: { type: 'string' } },
  required: ['type', 'text'],
}

const callSchema = {
  type: 'object',
  properties: {
    function: {
      type: 'object',
      properties: {
        name: { type: 'string' },
        arguments: { anyOf: [{ type: 'string' }, { type: 'object' }] },
      },
      required: ['name'],
    },
  },
  required: ['function'],
}

/** An assistant's message may have calls, or a refusal, in place of content. */
const schema = {
  type: 'array',
  minItems: 1,
  items: {
    type: 'object',
    properties: {
      role: { type: 'string', minLength: 1, examples: ['system', 'user', 'assistant', 'tool'] },
      content: {
        anyOf: [{ type: 'string' }, { type: 'array', items: partSchema }, { type: 'null' }],
      },
      tool_calls: { type: ['array', 'null'], items: callSchema },
      tool_call_id: { type: ['string', 'null'] },
      reasoning_content: { type: ['string', 'null'] },
    },
    required: ['role'],
    anyOf: [
      { properties: { content: { type: ['string', 'array'] } }, required: ['content'] },
      {
        properties: { role: { const: 'assistant' }, tool_calls: { type: 'array', minItems: 1 } },
        required: ['tool_calls'],
      },
      {
        properties: { role: { const: 'assistant' }, refusal: { type: 'string' } },
        required: ['refusal'],
      },
    ],
  },
}

export const messagesField = (() => {
  const findProblems = (value: unknown, name: string): string[] =>
    !Array.isArray(value)
      ? [`${name}: got ${describeValue(value)}, expected a list of messages`]
      : value.length === 0
        ? [`${name}: is empty, expected at least one message`]
        : value.flatMap((message, i) => findMessageProblems(message, `${name}[${i}]`))
  const field = createField<readonly ChatMessage[]>(
    'a list of messages',
    schema,
    (value) => findProblems(value, '').length === 0,
    { about: 'the conversation; an assistant message at its end is continued' },
  )
  return { ...field, findProblems }
})()

function findMessageProblems(message: unknown, name: string): string[] {
  if (!isRecord(message)) return [`${name}: got ${describeValue(message)}, expected an object`]
  const { role, content, refusal, tool_calls: calls } = message
  if (typeof role !== 'string' || role === '')
    return [
      `${name}.role: got ${describeValue(role)}, expected a role such as "user" or "assistant"`,
    ]
  const saysMore = (Array.isArray(calls) && calls.length > 0) || typeof refusal === 'string'
  const problems = [
    ...findContentProblems(content, `${name}.content`, role === 'assistant' && saysMore),
    ...textFields.flatMap((field) => findTextProblems(message[field], `${name}.${field}`)),
  ]
  if (calls === undefined || calls === null) return problems
  if (!Array.isArray(calls))
    return [...problems, `${name}.tool_calls: got ${describeValue(calls)}, expected a list`]
  return [
    ...problems,
    ...calls.flatMap((call, i) => findCallProblems(call, `${name}.tool_calls[${i}]`)),
  ]
}

const textFields = ['reasoning_content', 'tool_call_id']

const findTextProblems = (value: unknown, name: string): string[] =>
  value === undefined || value === null || typeof value === 'string'
    ? []
    : [`${name}: got ${describeValue(value)}, expected a string`]

function findContentProblems(content: unknown, name: string, mayBeAbsent: boolean): string[] {
  if (typeof content === 'string') return []
  if (content === undefined || content === null)
    return mayBeAbsent
      ? []
      : [`${name}: got ${describeValue(content)}, expected a string or a list of parts`]
  if (!Array.isArray(content))
    return [`${name}: got ${describeValue(content)}, expected a string or a list of parts`]
  return content.flatMap((part, i) => findPartProblems(part, `${name}[${i}]`))
}

function findPartProblems(part: unknown, name: string): string[] {
  if (!isRecord(part))
    return [`${name}: got ${describeValue(part)}, expected { "type": "text", "text": … }`]
  const { type, text } = part
  if (typeof type !== 'string' || !textTypes.includes(type))
    return [
      `${name}.type: got ${describeValue(type)}, expected "text", because this model reads text only`,
    ]
  return typeof text === 'string'
    ? []
    : [`${name}.text: got ${describeValue(text)}, expected a string`]
}

function findCallProblems(call: unknown, name: string): string[] {
  const called = isRecord(call) ? call['function'] : undefined
  if (!isRecord(called) || typeof called['name'] !== 'string')
    return [`${name}.function.name: expected the name of a function that was called`]
  const { arguments: given } = called
  return given === undefined || typeof given === 'string' || isRecord(given)
    ? []
    : [`${name}.function.arguments: got ${describeValue(given)}, expected a string of JSON`]
}
