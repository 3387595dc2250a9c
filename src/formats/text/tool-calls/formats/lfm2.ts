// <|tool_call_start|>[f(a="x", n=1)]<|tool_call_end|>: calls in Python's notation, in a list; the
// same with JSON objects where the system message asks for JSON, or where Python has no such name.

import { isRecord, type JsonSchema } from '../../../../base/schema.ts'
import { parseExactJson } from '../../../../base/exact-number.ts'
import type { StructuralFormat, TagFormat } from '../../../grammar/grammar-choice.ts'
import { dropSpace, lookAhead, takeText } from '../reading/call-input.ts'
import { readJsonCalls } from '../reading/json-call.ts'
import { readPythonCalls } from '../reading/python-call.ts'
import type { CallOpener, ToolCall, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { thinkMarkers } from './hermes.ts'
import { createJsonTags, formatJsonCall, toArgumentSchema } from './json-form.ts'
import { createMembers, matchConstant, resolveReference } from './members-grammar.ts'

const OPEN = '<|tool_call_start|>'
const CLOSE = '<|tool_call_end|>'

const isIdentifier = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name)
const isCallable = (name: string): boolean => name.split('.').every(isIdentifier)

const readCalls = (tools: readonly ToolDefinition[] | undefined): CallOpener['read'] =>
  function* (input, sink) {
    yield* dropSpace(input)
    while (/^\[\s*$/.test(input.unread) && !input.isEnded) yield
    if (/^\[\s*\{/.test(input.unread) || (yield* lookAhead(input)) === '{')
      yield* readJsonCalls(input, sink)
    else yield* readPythonCalls(input, sink, { tools })
    yield* dropSpace(input)
    yield* takeText(input, CLOSE)
  }

/** A value as Python writes it; numbers keep their text. */
function formatValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return `[${value.map(formatValue).join(', ')}]`
  if (!isRecord(value) || Object.getPrototypeOf(value) !== Object.prototype) return String(value)
  const members = Object.entries(value)
  return `{${members.map(([key, one]) => `${JSON.stringify(key)}: ${formatValue(one)}`).join(', ')}}`
}

function formatCall(call: ToolCall): string {
  const given = parseExactJson(call.arguments) as Readonly<Record<string, unknown>>
  const members = Object.entries(given)
  return `${call.name}(${members.map(([key, value]) => `${key}=${formatValue(value)}`).join(', ')})`
}

const isPythonCall = ({ name, arguments: text }: ToolCall): boolean =>
  isCallable(name) && Object.keys(parseExactJson(text) as object).every(isIdentifier)

/** A value that fits the schema: true, false and null by Python's names, else as in JSON. */
function describeValue(given: JsonSchema): StructuralFormat {
  const { type } = resolveReference(given)
  if (type === 'boolean') return { type: 'or', elements: ['True', 'False'].map(matchConstant) }
  if (type === 'null') return matchConstant('None')
  return { type: 'json_schema', json_schema: given }
}

const hasPythonNames = (tool: ToolDefinition): boolean => {
  const { properties } = toArgumentSchema(tool)
  return (
    isCallable(tool.name) && Object.keys(isRecord(properties) ? properties : {}).every(isIdentifier)
  )
}

const createPythonTag = (tool: ToolDefinition): TagFormat => ({
  type: 'tag',
  begin: `${tool.name}(`,
  content: createMembers(
    toArgumentSchema(tool),
    (key, value) => ({ begin: `${key}=`, content: describeValue(value), end: '' }),
    ', ',
  ),
  end: ')',
})

export const lfm2: ToolCallFormat = {
  name: 'lfm2',
  models: 'LFM2, LFM2.5',
  isUsedBy: ({ template, hasToken }) => template.includes(OPEN) || hasToken(OPEN),
  reasoning: [thinkMarkers],
  createOpeners: (tools) => [{ marker: OPEN, read: readCalls(tools) }],
  closers: [CLOSE],
  markers: [OPEN, CLOSE, thinkMarkers.open, thinkMarkers.close],
  describeTools: (tools) => `List of tools: ${JSON.stringify(tools)}`,
  formatCalls(calls) {
    // A list is of one notation.
    const format = calls.every(isPythonCall)
      ? formatCall
      : (call: ToolCall) => formatJsonCall(call, 'arguments')
    return `${OPEN}[${calls.map(format).join(', ')}]${CLOSE}`
  },
  formatResult: (result) => `<|tool_response_start|>${result}<|tool_response_end|>`,
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: tools.every(hasPythonNames)
      ? tools.map(createPythonTag)
      : createJsonTags(tools, 'arguments'),
    separator: ', ',
    around: { begin: `${OPEN}[`, end: `]${CLOSE}` },
  }),
}
