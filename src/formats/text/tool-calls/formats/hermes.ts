// <tool_call>{"name": "f", "arguments": {…}}</tool_call>, one object or a list of them.

import { takeText, type CallInput, lookAhead, dropSpace } from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { readJsonCalls } from '../reading/json-call.ts'
import type { ReasoningMarkers, ToolCallFormat } from '../tool-call-format.ts'
import { createJsonTags, formatJsonCall, listFunctions } from './json-form.ts'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'

export const thinkMarkers: ReasoningMarkers = { open: '<think>', close: '</think>' }

/** The objects between the markers; models that forget the closing marker are understood too. */
export function* readHermesCalls(input: CallInput, sink: CallSink): Generator<void, void> {
  do {
    yield* readJsonCalls(input, sink)
    yield* dropSpace(input)
  } while ((yield* lookAhead(input)) === '{')
  yield* takeText(input, CLOSE)
}

export const hermesOpener = { marker: OPEN, read: readHermesCalls }

export const hermes: ToolCallFormat = {
  name: 'hermes',
  models: 'Hermes 2 and 3, Qwen 2.5, Qwen 3, QwQ, Granite 4',
  isUsedBy: ({ template }) => template.includes(OPEN),
  reasoning: [thinkMarkers],
  createOpeners: () => [hermesOpener],
  closers: [CLOSE],
  markers: [OPEN, CLOSE, thinkMarkers.open, thinkMarkers.close],
  describeTools: (tools) =>
    `# Tools

You may call functions to answer. These are their signatures:
<tools>
${listFunctions(tools)}
</tools>

For each call write a JSON object with the function's name and its arguments:
${OPEN}
{"name": <name of the function>, "arguments": <object of arguments>}
${CLOSE}`,
  formatCalls: (calls) =>
    calls.map((call) => `${OPEN}\n${formatJsonCall(call, 'arguments')}\n${CLOSE}`).join('\n'),
  formatResult: (result) => `<tool_response>\n${result}\n</tool_response>`,
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: createJsonTags(tools, 'arguments', `${OPEN}\n`, `\n${CLOSE}`),
    separator: '\n',
  }),
}
