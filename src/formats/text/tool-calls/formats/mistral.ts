// [TOOL_CALLS][{"name": "f", "arguments": {…}}], and since tokenizer v11 [TOOL_CALLS]f[ARGS]{…},
// where an id may be between as [CALL_ID]….

import {
  takeText,
  type CallInput,
  MalformedCall,
  lookAhead,
  dropSpace,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { readJsonCalls } from '../reading/json-call.ts'
import { readJson, takeName } from '../reading/json-reader.ts'
import type { ToolCallFormat } from '../tool-call-format.ts'
import { thinkMarkers } from './hermes.ts'
import { createJsonTags, formatJsonCall, listFunctions, toArgumentSchema } from './json-form.ts'

const OPEN = '[TOOL_CALLS]'
const ARGS = '[ARGS]'
const ID = '[CALL_ID]'

function* readMistralCalls(input: CallInput, sink: CallSink): Generator<void, void> {
  yield* dropSpace(input)
  const first = yield* lookAhead(input)
  if (first === '[' || first === '{') return yield* readJsonCalls(input, sink)
  const name = yield* takeName(input)
  if (name === '') throw new MalformedCall('a call without a name')
  const id = (yield* takeText(input, ID)) ? yield* takeName(input) : undefined
  yield* takeText(input, ARGS)
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) !== '{') throw new MalformedCall('expected an object')
  sink.start(name)
  yield* readJson(input, (text) => sink.append(text))
  sink.end(id)
}

/** Both forms are read in both rows; they differ in what is written. */
const common = {
  reasoning: [{ open: '[THINK]', close: '[/THINK]' }, thinkMarkers],
  createOpeners: () => [{ marker: OPEN, read: readMistralCalls }],
  closers: [],
  idLength: 9,
  markers: [OPEN, ARGS, ID, '[THINK]', '[/THINK]'],
  formatResult: (result: string) => result,
}

export const mistral: ToolCallFormat = {
  ...common,
  name: 'mistral',
  models: 'Mistral 7B v0.3, Nemo, Small and Large of 2024',
  isUsedBy: ({ template, hasToken }) => template.includes(OPEN) || hasToken(OPEN),
  describeTools: (tools) =>
    `[AVAILABLE_TOOLS] [${listFunctions(tools).replaceAll('\n', ', ')}][/AVAILABLE_TOOLS]`,
  formatCalls: (calls) =>
    `${OPEN}[${calls.map((call) => formatJsonCall(call, 'arguments')).join(', ')}]`,
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: createJsonTags(tools, 'arguments'),
    separator: ', ',
    around: { begin: `${OPEN}[`, end: ']' },
  }),
}

export const mistralArgs: ToolCallFormat = {
  ...common,
  name: 'mistral-args',
  models: 'Mistral Small 3.1 and later, Magistral, Devstral, Ministral 3',
  isUsedBy: ({ template, hasToken }) => template.includes(ARGS) || hasToken(ARGS),
  describeTools: mistral.describeTools,
  formatCalls: (calls) =>
    calls.map((call) => `${OPEN}${call.name}${ARGS}${call.arguments}`).join(''),
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: `${OPEN}${tool.name}${ARGS}`,
      content: { type: 'json_schema', json_schema: toArgumentSchema(tool) },
      end: '',
    })),
    separator: '',
  }),
}
