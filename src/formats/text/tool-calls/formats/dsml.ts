// <｜DSML｜function_calls> with an <｜DSML｜invoke name="f"> for each call, whose parameters say whether
// they are texts: DeepSeek V3.2.

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
import { createListReader } from '../reading/call-list.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { escapeCharacter } from '../reading/json-reader.ts'
import type { ToolCall, ToolCallFormat } from '../tool-call-format.ts'
import { thinkMarkers } from './hermes.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'
import { describeTaggedMembers, formatPlainValue } from './typed-text.ts'

const LIST = '<｜DSML｜function_calls>'
const LIST_END = '</｜DSML｜function_calls>'
const INVOKE = '<｜DSML｜invoke name="'
const INVOKE_END = '</｜DSML｜invoke>'
const PARAMETER = '<｜DSML｜parameter name="'
const PARAMETER_END = '</｜DSML｜parameter>'

const takeQuoted = (input: CallInput): Generator<void, string> =>
  takeWhile(input, (character) => character !== '"' && character !== '\n')

function* readParameter(input: CallInput, sink: CallSink): Generator<void, void> {
  const key = yield* takeQuoted(input)
  yield* requireText(input, '"')
  yield* dropSpace(input)
  const isText = !(yield* takeText(input, 'string="false"'))
  if (isText) yield* takeText(input, 'string="true"')
  yield* requireText(input, '>')
  sink.append(`${JSON.stringify(key)}: ${isText ? '"' : ''}`)
  let value = ''
  while (!(yield* takeText(input, PARAMETER_END))) {
    const character = yield* lookAhead(input)
    if (character === '') throw new MalformedCall('a parameter without an end')
    if (isText) sink.append(escapeCharacter(character))
    else value += character
    input.at++
  }
  sink.append(isText ? '"' : toJson(value))
}

/** Marked as not text: read as JSON, or as text if it is not JSON. */
function toJson(value: string): string {
  const text = value.trim()
  try {
    JSON.parse(text)
    return text
  } catch {
    return JSON.stringify(value)
  }
}

function* readInvoke(input: CallInput, sink: CallSink): Generator<void, void> {
  const name = yield* takeQuoted(input)
  if (name === '') throw new MalformedCall('a call without a name')
  yield* requireText(input, '">')
  sink.start(name)
  sink.append('{')
  for (let count = 0; ; count++) {
    yield* dropSpace(input)
    if (!(yield* takeText(input, PARAMETER))) break
    if (count > 0) sink.append(', ')
    yield* readParameter(input, sink)
  }
  yield* requireText(input, INVOKE_END)
  sink.append('}')
  sink.end()
}

const readCalls = createListReader(INVOKE, readInvoke, LIST_END)

function formatCall({ name, arguments: text }: ToolCall): string {
  const given = parseExactJson(text) as Record<string, unknown>
  const parameters = Object.entries(given).map(
    ([key, value]) =>
      `${PARAMETER}${key}" string="${typeof value === 'string'}">${formatPlainValue(value)}${PARAMETER_END}\n`,
  )
  return `${INVOKE}${name}">\n${parameters.join('')}${INVOKE_END}`
}

export const dsml: ToolCallFormat = {
  name: 'deepseek-3.2',
  models: 'DeepSeek V3.2',
  isUsedBy: ({ template, hasToken }) => template.includes('｜DSML｜') || hasToken('｜DSML｜'),
  reasoning: [thinkMarkers],
  createOpeners: () => [
    { marker: LIST, read: readCalls },
    { marker: INVOKE, read: readInvoke },
  ],
  closers: [LIST_END],
  markers: ['｜DSML｜', LIST, LIST_END, thinkMarkers.open, thinkMarkers.close],
  describeTools: (tools) =>
    `## Tools

You may call these functions:
<functions>
${listFunctions(tools)}
</functions>

To call some, write texts as they are with string="true", and anything else as JSON with string="false":
${LIST}
${INVOKE}name_of_the_function">
${PARAMETER}name_of_a_parameter" string="true">value${PARAMETER_END}
${INVOKE_END}
${LIST_END}`,
  formatCalls: (calls) => `${LIST}\n${calls.map(formatCall).join('\n')}\n${LIST_END}`,
  formatResult: (result) => `<function_results>\n<result>${result}</result>\n</function_results>`,
  describeCalls: (tools) => ({
    triggers: [LIST],
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: `${INVOKE}${tool.name}">\n`,
      content: describeTaggedMembers(toArgumentSchema(tool), (key, content, isText) => ({
        type: 'tag',
        begin: `${PARAMETER}${key}" string="${isText}">`,
        content,
        end: `${PARAMETER_END}\n`,
      })),
      end: INVOKE_END,
    })),
    separator: '\n',
    around: { begin: `${LIST}\n`, end: `\n${LIST_END}` },
  }),
}
