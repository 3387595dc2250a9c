// <|tool_call|>[{"name": "f", "arguments": {…}}], with <|/tool_call|> at the end in Phi-4.

import { dropSpace, takeText } from '../reading/call-input.ts'
import { readJsonCalls } from '../reading/json-call.ts'
import type { ToolCallFormat } from '../tool-call-format.ts'
import { hermes, hermesOpener, thinkMarkers } from './hermes.ts'
import { createJsonTags, formatJsonCall, listFunctions } from './json-form.ts'

const OPEN = '<|tool_call|>'
const CLOSE = '<|/tool_call|>'

export const granite: ToolCallFormat = {
  name: 'granite',
  models: 'Granite 3, Phi-4-mini',
  isUsedBy: ({ template }) => template.includes(OPEN),
  reasoning: [thinkMarkers],
  createOpeners: () => [
    {
      marker: OPEN,
      *read(input, sink) {
        yield* readJsonCalls(input, sink)
        yield* dropSpace(input)
        yield* takeText(input, CLOSE)
      },
    },
    hermesOpener,
  ],
  closers: [CLOSE],
  markers: [OPEN, CLOSE],
  describeTools: (tools) =>
    `You have access to functions. To call some, write ${OPEN} followed by a JSON list of objects, each with a "name" and "arguments":
${listFunctions(tools)}`,
  formatCalls: (calls) =>
    `${OPEN}[${calls.map((call) => formatJsonCall(call, 'arguments')).join(', ')}]`,
  formatResult: hermes.formatResult,
  describeCalls: (tools) => ({
    triggers: [OPEN],
    tags: createJsonTags(tools, 'arguments'),
    separator: ', ',
    around: { begin: `${OPEN}[`, end: ']' },
  }),
}
