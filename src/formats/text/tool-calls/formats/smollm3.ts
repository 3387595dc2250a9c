// SmolLM3's two forms: <tool_call> with JSON for its xml_tools, and <code> with Python for its
// python_tools. Its template shows functions, but writes no earlier calls.

import { takeText, type CallInput, dropSpace } from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { readPythonCalls } from '../reading/python-call.ts'
import type { ToolCallFormat, ToolDefinition } from '../tool-call-format.ts'
import { hermes } from './hermes.ts'

const OPEN = '<code>'
const CLOSE = '</code>'

const readCode = (tools: readonly ToolDefinition[] | undefined) =>
  function* (input: CallInput, sink: CallSink): Generator<void, void> {
    yield* readPythonCalls(input, sink, { tools })
    yield* dropSpace(input)
    yield* takeText(input, CLOSE)
  }

export const smollm3: ToolCallFormat = {
  ...hermes,
  name: 'smollm3',
  models: 'SmolLM3',
  isUsedBy: ({ template }) => template.includes('xml_tools') && template.includes('python_tools'),
  createOpeners: (tools) => [
    ...hermes.createOpeners(tools),
    { marker: OPEN, read: readCode(tools) },
  ],
  closers: [...hermes.closers, CLOSE],
  markers: [...hermes.markers, OPEN, CLOSE],
}
