// {"name": "f", "parameters": {…}}, bare or behind <|python_tag|>, several with ";" between them;
// <function=f>{…}</function>; and behind the tag also calls of built-in tools and Python code.

import type { CallOpener, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { type JsonCallRules, readJsonCall, toBareRules } from '../reading/json-call.ts'
import { escapeCharacter, readJson, takeName } from '../reading/json-reader.ts'
import { readPythonCalls } from '../reading/python-call.ts'
import { thinkMarkers } from './hermes.ts'
import { createJsonTags, formatJsonCall, listFunctions } from './json-form.ts'

const TAG = '<|python_tag|>'
const START = '<|python_start|>'
const END = '<|python_end|>'

/** Names under which an interpreter of Python is offered. */
const interpreters = ['python', 'ipython', 'code_interpreter']

type Tools = readonly ToolDefinition[] | undefined

/** An object, then what may come before the next one. */
function* readObject(
  input: CallInput,
  sink: CallSink,
  rules: JsonCallRules = {},
): Generator<void, void> {
  yield* readJsonCall(input, sink, rules)
  yield* dropSpace(input)
  yield* takeText(input, ';')
}

/** All that is left of the answer, as an argument. */
function* readCode(input: CallInput, sink: CallSink, name: string): Generator<void, void> {
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) === '') throw new MalformedCall('no code')
  sink.start(name)
  sink.append('{"code": "')
  for (;;) {
    const character = yield* lookAhead(input)
    if (character === '') break
    sink.append(escapeCharacter(character))
    input.at++
  }
  sink.append('"}')
  sink.end()
}

/** What follows the tag: an object, a call of a built-in tool, or code. */
const readTagged = (tools: Tools): CallOpener['read'] =>
  function* (input, sink) {
    yield* dropSpace(input)
    if ((yield* lookAhead(input)) === '{') return yield* readObject(input, sink)
    const interpreter = tools?.find(({ name }) => interpreters.includes(name))
    if (interpreter) return yield* readCode(input, sink, interpreter.name)
    yield* readPythonCalls(input, sink, { tools, suffix: '.call' })
  }

/** What follows Llama 4's marker: an object behind an empty pair, or Python's notation. */
const readMarked = (tools: Tools): CallOpener['read'] =>
  function* (input, sink) {
    yield* dropSpace(input)
    if (yield* takeText(input, END)) return yield* readObject(input, sink)
    yield* readPythonCalls(input, sink, { tools })
    yield* dropSpace(input)
    yield* takeText(input, END)
  }

function* readFunctionTag(input: CallInput, sink: CallSink): Generator<void, void> {
  const name = yield* takeName(input)
  if (name === '') throw new MalformedCall('a call without a name')
  yield* requireText(input, '>')
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) !== '{') throw new MalformedCall('expected an object')
  sink.start(name)
  yield* readJson(input, (text) => sink.append(text))
  sink.end()
  yield* dropSpace(input)
  yield* takeText(input, '</function>')
}

export const llama: ToolCallFormat = {
  name: 'llama',
  models: 'Llama 3.1, 3.2, 3.3 and 4',
  isUsedBy: ({ template, hasToken }) =>
    template.includes(TAG) ||
    template.includes('"parameters": ') ||
    (template.includes('<|start_header_id|>') && hasToken(TAG)),
  reasoning: [thinkMarkers],
  createOpeners: (tools) => [
    { marker: TAG, read: readTagged(tools) },
    { marker: START, read: readMarked(tools) },
    { marker: '<function=', read: readFunctionTag },
    {
      marker: '{',
      isBare: true,
      read: (input, sink) => readObject(input, sink, toBareRules(tools)),
    },
  ],
  closers: [],
  markers: [TAG, START, END],
  describeTools: (tools) =>
    `You may call functions to answer. To call one, write nothing but a JSON object with its name and its arguments: {"name": name of the function, "parameters": object of arguments}. Write no variables.

${listFunctions(tools)}`,
  formatCalls: (calls) => calls.map((call) => formatJsonCall(call, 'parameters')).join('; '),
  formatResult: (result) => result,
  describeCalls: (tools) => ({
    triggers: ['{"name": '],
    tags: createJsonTags(tools, 'parameters'),
    separator: '; ',
  }),
}
