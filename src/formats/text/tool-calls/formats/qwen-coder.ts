// <tool_call><function=f><parameter=a>text</parameter></function></tool_call>: Qwen3-Coder. Values
// are plain text; the function's schema determines which of them are numbers, objects or lists.

import { parseExactJson } from '../../../../base/exact-number.ts'
import type { JsonSchema } from '../../../../base/schema.ts'
import type { StructuralFormat } from '../../../grammar/grammar-choice.ts'
import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { escapeCharacter, takeName } from '../reading/json-reader.ts'
import type { ToolCall, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { hermes, readHermesCalls } from './hermes.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'
import { describeTaggedMembers, formatPlainValue, listTypes, toTypedJson } from './typed-text.ts'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'
const FUNCTION = '<function='
const PARAMETER = '<parameter='
const END = '</parameter>'

type Tools = readonly ToolDefinition[] | undefined

/**
 * Whether a value's end comes next: the end marker counts only where a parameter or the function's
 * end follows, since the value may hold it as text.
 */
function* isValueEnd(input: CallInput): Generator<void, boolean> {
  const form = /^\n?<\/parameter>\s*(?:<parameter=|<\/function>)/
  // What this may become with more text.
  const begin = /^\n?(?:<\/parameter>\s*)?(<[\w/]*=?)?$/
  for (;;) {
    const text = input.text.slice(input.at, input.at + 4096)
    if (form.test(text)) return true
    const open = begin.exec(text)
    if (!open) return false
    if (input.isEnded) return text.trimEnd().endsWith(END)
    yield
  }
}

/** Characters of a value, up to its end marker, which stays. */
function* readValue(input: CallInput, take: (character: string) => void): Generator<void, void> {
  for (;;) {
    const character = yield* lookAhead(input)
    if (character === '') throw new MalformedCall('a parameter without an end')
    if ((character === '\n' || character === '<') && (yield* isValueEnd(input))) return
    take(character)
    input.at++
  }
}

function* readParameter(
  input: CallInput,
  sink: CallSink,
  tool: ToolDefinition | undefined,
): Generator<void, void> {
  const key = yield* takeName(input)
  yield* requireText(input, '>')
  yield* takeText(input, '\n')
  sink.append(`${JSON.stringify(key)}: `)
  const types = listTypes(tool, key) ?? ['string']
  if (types.every((type) => type === 'string')) {
    sink.append('"')
    yield* readValue(input, (character) => sink.append(escapeCharacter(character)))
    sink.append('"')
  } else {
    let text = ''
    yield* readValue(input, (character) => {
      text += character
    })
    sink.append(toTypedJson(text, types))
  }
  yield* takeText(input, '\n')
  yield* requireText(input, END)
}

/** What follows `<function=`. */
const readFunction = (tools: Tools) =>
  function* (input: CallInput, sink: CallSink): Generator<void, void> {
    const name = yield* takeName(input)
    if (name === '') throw new MalformedCall('a call without a name')
    yield* requireText(input, '>')
    sink.start(name)
    sink.append('{')
    const tool = tools?.find((one) => one.name === name)
    for (let count = 0; ; count++) {
      yield* dropSpace(input)
      if (!(yield* takeText(input, PARAMETER))) break
      if (count > 0) sink.append(', ')
      yield* readParameter(input, sink, tool)
    }
    yield* requireText(input, '</function>')
    sink.append('}')
    sink.end()
    yield* dropSpace(input)
    yield* takeText(input, CLOSE)
  }

/** Models of this format now and then write JSON between the markers. */
const readCall = (tools: Tools) =>
  function* (input: CallInput, sink: CallSink): Generator<void, void> {
    yield* dropSpace(input)
    if ((yield* lookAhead(input)) === '{') return yield* readHermesCalls(input, sink)
    yield* requireText(input, FUNCTION)
    yield* readFunction(tools)(input, sink)
  }

function formatCall({ name, arguments: text }: ToolCall): string {
  const given = parseExactJson(text) as Record<string, unknown>
  const parameters = Object.entries(given).map(
    ([key, value]) => `${PARAMETER}${key}>\n${formatPlainValue(value)}\n${END}\n`,
  )
  return `${OPEN}\n${FUNCTION}${name}>\n${parameters.join('')}</function>\n${CLOSE}`
}

const describeParameters = (schema: JsonSchema): StructuralFormat =>
  describeTaggedMembers(schema, (key, content) => ({
    type: 'tag',
    begin: `${PARAMETER}${key}>\n`,
    content,
    end: `\n${END}\n`,
  }))

export const qwenCoder: ToolCallFormat = {
  ...hermes,
  name: 'qwen-coder',
  models: 'Qwen3-Coder, Qwen 3.5',
  isUsedBy: ({ template }) => template.includes(FUNCTION) && template.includes(PARAMETER),
  createOpeners: (tools) => [
    { marker: OPEN, read: readCall(tools) },
    { marker: FUNCTION, read: readFunction(tools) },
  ],
  describeTools: (tools) =>
    `# Tools

You may call these functions:
<tools>
${listFunctions(tools)}
</tools>

To call one, write it in this form:
${OPEN}
<function=name_of_the_function>
<parameter=name_of_a_parameter>
value
${END}
</function>
${CLOSE}`,
  formatCalls: (calls) => calls.map(formatCall).join('\n'),
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: `${OPEN}\n${FUNCTION}${tool.name}>\n`,
      content: describeParameters(toArgumentSchema(tool)),
      end: `</function>\n${CLOSE}`,
    })),
    separator: '\n',
  }),
}
