// For models that were trained on no format: functions are described in the system message, and a
// call is a JSON object, alone or in a fence.

import type { CallOpener, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import {
  takeText,
  type CallInput,
  requireText,
  lookAhead,
  dropSpace,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { type JsonCallRules, readJsonCalls, toBareRules } from '../reading/json-call.ts'
import { readJsonString } from '../reading/json-reader.ts'
import { hermesOpener, thinkMarkers } from './hermes.ts'
import { createJsonTags, formatJsonCall, listFunctions } from './json-form.ts'

const FENCE = '```'
const wrappers = new Set(['tool_call', 'tool_calls', 'function_call'])

/** {"tool_calls": […]}, {"tool_call": {…}}, or the calls themselves. */
function* readWrapped(
  input: CallInput,
  sink: CallSink,
  rules: JsonCallRules,
): Generator<void, void> {
  if (!(yield* isWrapper(input))) return yield* readJsonCalls(input, sink, rules)
  input.at++
  yield* readJsonString(input)
  yield* dropSpace(input)
  yield* requireText(input, ':')
  yield* readJsonCalls(input, sink, rules)
  yield* dropSpace(input)
  yield* takeText(input, '}')
}

/** Whether an object begins with the key of a wrapper; nothing is taken. */
function* isWrapper(input: CallInput): Generator<void, boolean> {
  if ((yield* lookAhead(input)) !== '{') return false
  for (;;) {
    const begin = /^\{\s*(?:"(\w*)("?)|$)/.exec(input.text.slice(input.at))
    if (!begin) return false
    const [, key = '', close = ''] = begin
    if (close !== '') return wrappers.has(key)
    if (input.isEnded || ![...wrappers].some((wrapper) => wrapper.startsWith(key))) return false
    yield
  }
}

export const createBareOpeners = (tools: readonly ToolDefinition[] | undefined): CallOpener[] => {
  const rules = toBareRules(tools)
  const read: CallOpener['read'] = (input, sink) => readWrapped(input, sink, rules)
  return [
    { marker: '{', isBare: true, read },
    { marker: '[', isBare: true, read },
  ]
}

/** A fence around JSON calls. */
export const createFenceOpener = (
  language: string,
  tools: readonly ToolDefinition[] | undefined,
): CallOpener => ({
  marker: `${FENCE}${language}`,
  *read(input, sink) {
    yield* dropSpace(input)
    yield* readWrapped(input, sink, toBareRules(tools))
    yield* dropSpace(input)
    yield* takeText(input, FENCE)
  },
})

export const generic: ToolCallFormat = {
  name: 'generic',
  models: 'all others',
  isUsedBy: () => true,
  reasoning: [thinkMarkers],
  createOpeners: (tools) => [
    hermesOpener,
    createFenceOpener('json', tools),
    createFenceOpener('tool_call', tools),
    ...createBareOpeners(tools),
  ],
  closers: ['</tool_call>'],
  markers: [hermesOpener.marker, '</tool_call>', thinkMarkers.open, thinkMarkers.close],
  describeTools: (tools) =>
    `You may call these functions:
${listFunctions(tools)}

To call one, write nothing but a JSON object with its name and its arguments:
{"name": <name of the function>, "arguments": <object of arguments>}
You are given the result, and answer then. Without a call, answer in plain text.`,
  formatCalls: (calls) => calls.map((call) => formatJsonCall(call, 'arguments')).join('\n'),
  formatResult: (result, name) =>
    name === undefined ? `Result: ${result}` : `Result of ${name}: ${result}`,
  describeCalls: (tools) => ({
    triggers: ['{"name": '],
    tags: createJsonTags(tools, 'arguments'),
    separator: '\n',
  }),
}
