// <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f, a fence with JSON and
// <｜tool▁call▁end｜><｜tool▁calls▁end｜>: DeepSeek V3 and R1. Since V3.1 the name comes before the
// separator and bare JSON behind it.

import {
  type CallInput,
  dropSpace,
  lookAhead,
  MalformedCall,
  requireText,
  takeText,
} from '../reading/call-input.ts'
import { createListReader } from '../reading/call-list.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { readJson, takeName } from '../reading/json-reader.ts'
import type { ToolCall, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { thinkMarkers } from './hermes.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'

const LIST = '<｜tool▁calls▁begin｜>'
const LIST_END = '<｜tool▁calls▁end｜>'
const OPEN = '<｜tool▁call▁begin｜>'
const CLOSE = '<｜tool▁call▁end｜>'
const SEPARATOR = '<｜tool▁sep｜>'
const FENCE = '```'

/** One call, behind its marker, in either notation. */
function* readCall(input: CallInput, sink: CallSink): Generator<void, void> {
  yield* dropSpace(input)
  const word = yield* takeName(input)
  yield* requireText(input, SEPARATOR)
  yield* dropSpace(input)
  const isNamed = (yield* lookAhead(input)) === '{'
  const name = isNamed ? word : yield* takeName(input)
  if (name === '') throw new MalformedCall('a call without a name')
  yield* dropSpace(input)
  const isFenced = yield* takeText(input, FENCE)
  if (isFenced) yield* takeText(input, 'json')
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) !== '{') throw new MalformedCall('expected an object')
  sink.start(name)
  yield* readJson(input, (text) => sink.append(text))
  sink.end()
  yield* dropSpace(input)
  if (isFenced) yield* takeText(input, FENCE)
  yield* dropSpace(input)
  yield* takeText(input, CLOSE)
}

const readCalls = createListReader(OPEN, readCall, LIST_END)

/** Both notations are read in both rows; they differ in what is written. */
const common = {
  reasoning: [thinkMarkers],
  createOpeners: () => [
    { marker: LIST, read: readCalls },
    { marker: OPEN, read: readCall },
  ],
  closers: [CLOSE, LIST_END],
  markers: [LIST, LIST_END, OPEN, CLOSE, SEPARATOR, thinkMarkers.open, thinkMarkers.close],
  formatResult: (result: string) => `<｜tool▁output▁begin｜>${result}<｜tool▁output▁end｜>`,
}

interface Notation {
  readonly begin: (name: string) => string
  readonly end: string
  readonly separator: string
}

const describeIn = ({ begin, end, separator }: Notation) => ({
  describeTools: (tools: readonly ToolDefinition[]) =>
    `## Tools

You may call these functions:
${listFunctions(tools)}

To call some, write ${LIST}, then each call, then ${LIST_END}. A call is
${begin('name_of_the_function')}{"name_of_an_argument": "value"}${end}`,
  formatCalls: (calls: readonly ToolCall[]) =>
    `${LIST}${calls.map((call) => `${begin(call.name)}${call.arguments}${end}`).join(separator)}${LIST_END}`,
  describeCalls: (tools: readonly ToolDefinition[]) => ({
    triggers: [LIST],
    tags: tools.map((tool) => ({
      type: 'tag' as const,
      begin: begin(tool.name),
      content: { type: 'json_schema' as const, json_schema: toArgumentSchema(tool) },
      end,
    })),
    separator,
    around: { begin: LIST, end: LIST_END },
  }),
})

export const deepseek: ToolCallFormat = {
  ...common,
  ...describeIn({
    begin: (name) => `${OPEN}function${SEPARATOR}${name}\n${FENCE}json\n`,
    end: `\n${FENCE}${CLOSE}`,
    separator: '\n',
  }),
  name: 'deepseek',
  models: 'DeepSeek V3, R1 and what was distilled from it',
  isUsedBy: ({ template, hasToken }) => template.includes(SEPARATOR) || hasToken(SEPARATOR),
}

export const deepseekNamed: ToolCallFormat = {
  ...common,
  ...describeIn({
    begin: (name) => `${OPEN}${name}${SEPARATOR}`,
    end: CLOSE,
    separator: '',
  }),
  name: 'deepseek-3.1',
  models: 'DeepSeek V3.1',
  isUsedBy: ({ template }) => template.includes(SEPARATOR) && !template.includes(`${FENCE}json`),
}
