// Gemma 2 and 3 have no own format: functions are described in the system message. They answer with
// the JSON they were asked for, or in the Python notation that they know: in a fence
// ```tool_code, or as a list [f(a=1)].

import { takeText, dropSpace } from '../reading/call-input.ts'
import { readPythonCalls } from '../reading/python-call.ts'
import type { CallOpener, ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { createBareOpeners, createFenceOpener } from './generic.ts'
import { createJsonTags, formatJsonCall, listFunctions } from './json-form.ts'

const FENCE = '```'

const createCodeOpener = (
  language: string,
  tools: readonly ToolDefinition[] | undefined,
): CallOpener => ({
  marker: `${FENCE}${language}`,
  *read(input, sink) {
    yield* readPythonCalls(input, sink, { tools })
    yield* dropSpace(input)
    yield* takeText(input, FENCE)
  },
})

/** A bare list: of JSON objects, or of calls in Python's notation. */
const createListOpener = (tools: readonly ToolDefinition[] | undefined): CallOpener => {
  const [, json] = createBareOpeners(tools)
  return {
    marker: '[',
    isBare: true,
    *read(input, sink) {
      while (/^\[\s*$/.test(input.text) && !input.isEnded) yield
      if (/^\[\s*[{[]/.test(input.text)) yield* json!.read(input, sink)
      else yield* readPythonCalls(input, sink, { tools })
    },
  }
}

export const gemma: ToolCallFormat = {
  name: 'gemma',
  models: 'Gemma 2 and 3',
  isUsedBy: ({ template }) => template.includes('<start_of_turn>'),
  reasoning: [],
  createOpeners: (tools) => [
    createCodeOpener('tool_code', tools),
    createCodeOpener('python', tools),
    createFenceOpener('json', tools),
    createFenceOpener('tool_call', tools),
    createBareOpeners(tools)[0]!,
    createListOpener(tools),
  ],
  closers: [],
  markers: [],
  describeTools: (tools) =>
    `You have access to functions. If you decide to call one, write it in the form {"name": function name, "parameters": dictionary of argument names and values} and write nothing else.

${listFunctions(tools)}`,
  formatCalls: (calls) => calls.map((call) => formatJsonCall(call, 'parameters')).join('\n'),
  formatResult: (result) => `\`\`\`tool_output\n${result}\n\`\`\``,
  describeCalls: (tools) => ({
    triggers: ['{"name": '],
    tags: createJsonTags(tools, 'parameters'),
    separator: '\n',
  }),
}
