// <tool_call>f, then <arg_key>a</arg_key><arg_value>text</arg_value> for each argument,
// </tool_call>: GLM since 4.5. Values are plain text, except where the function's schema has
// another type.

import { parseExactJson } from '../../../../base/exact-number.ts'
import {
  type CallInput,
  dropSpace,
  lookAhead,
  MalformedCall,
  requireText,
  takeText,
  takeWhile,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { escapeCharacter, takeName } from '../reading/json-reader.ts'
import type { ToolCall, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { hermes, readHermesCalls } from './hermes.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'
import { describeTaggedMembers, formatPlainValue, listTypes, toTypedJson } from './typed-text.ts'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'
const KEY = '<arg_key>'
const KEY_END = '</arg_key>'
const VALUE = '<arg_value>'
const VALUE_END = '</arg_value>'

function* readValue(input: CallInput, take: (character: string) => void): Generator<void, void> {
  while (!(yield* takeText(input, VALUE_END))) {
    const character = yield* lookAhead(input)
    if (character === '') throw new MalformedCall('a value without an end')
    take(character)
    input.at++
  }
}

/** A key and its value, behind the key's marker. */
function* readArgument(
  input: CallInput,
  sink: CallSink,
  tool: ToolDefinition | undefined,
): Generator<void, void> {
  const key = (yield* takeWhile(input, (character) => character !== '<')).trim()
  yield* requireText(input, KEY_END)
  yield* dropSpace(input)
  yield* requireText(input, VALUE)
  sink.append(`${JSON.stringify(key)}: `)
  const types = listTypes(tool, key) ?? ['string']
  if (types.every((type) => type === 'string')) {
    sink.append('"')
    yield* readValue(input, (character) => sink.append(escapeCharacter(character)))
    return sink.append('"')
  }
  let text = ''
  yield* readValue(input, (character) => {
    text += character
  })
  sink.append(toTypedJson(text, types))
}

const readCall = (tools: readonly ToolDefinition[] | undefined) =>
  function* (input: CallInput, sink: CallSink): Generator<void, void> {
    yield* dropSpace(input)
    if ((yield* lookAhead(input)) === '{') return yield* readHermesCalls(input, sink)
    const name = yield* takeName(input)
    yield* dropSpace(input)
    const isEmpty = yield* takeText(input, CLOSE)
    const begins = isEmpty || (yield* takeText(input, KEY))
    if (name === '' || !begins) throw new MalformedCall('a call without a name or arguments')
    sink.start(name)
    sink.append('{')
    const tool = tools?.find((one) => one.name === name)
    for (let goesOn = !isEmpty, count = 0; goesOn; count++) {
      if (count > 0) sink.append(', ')
      yield* readArgument(input, sink, tool)
      yield* dropSpace(input)
      goesOn = yield* takeText(input, KEY)
    }
    if (!isEmpty) yield* requireText(input, CLOSE)
    sink.append('}')
    sink.end()
  }

function formatCall({ name, arguments: text }: ToolCall): string {
  const given = parseExactJson(text) as Record<string, unknown>
  const lines = Object.entries(given).map(
    ([key, value]) => `${KEY}${key}${KEY_END}\n${VALUE}${formatPlainValue(value)}${VALUE_END}\n`,
  )
  return `${OPEN}${name}\n${lines.join('')}${CLOSE}`
}

export const glm: ToolCallFormat = {
  ...hermes,
  name: 'glm',
  models: 'GLM 4.5, 4.6 and 4.7',
  isUsedBy: ({ template }) => template.includes(KEY) && template.includes(VALUE),
  createOpeners: (tools) => [{ marker: OPEN, read: readCall(tools) }],
  describeTools: (tools) =>
    `# Tools

You may call these functions:
<tools>
${listFunctions(tools)}
</tools>

To call one, write it in this form:
${OPEN}name_of_the_function
${KEY}name_of_an_argument${KEY_END}
${VALUE}value${VALUE_END}
${CLOSE}`,
  formatCalls: (calls) => calls.map(formatCall).join('\n'),
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: `${OPEN}${tool.name}\n`,
      content: describeTaggedMembers(toArgumentSchema(tool), (key, content) => ({
        type: 'tag',
        begin: `${KEY}${key}${KEY_END}\n${VALUE}`,
        content,
        end: `${VALUE_END}\n`,
      })),
      end: CLOSE,
    })),
    separator: '\n',
  }),
}
