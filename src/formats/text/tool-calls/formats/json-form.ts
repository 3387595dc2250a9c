// What the formats share whose calls are JSON: functions and calls as text, tags of a grammar.

import type { JsonSchema } from '../../../../base/schema.ts'
import type { TagFormat } from '../../../grammar/grammar-choice.ts'
import { type ToolCall, type ToolDefinition } from '../tool-call-format.ts'
import { toFunctionTool } from '../tool-definition.ts'

/** How a format names a call's arguments. */
export type ArgumentKey = 'arguments' | 'parameters'

/** `{"name": "f", "arguments": {…}}` */
export const formatJsonCall = (call: ToolCall, key: ArgumentKey): string =>
  `{"name": ${JSON.stringify(call.name)}, "${key}": ${call.arguments}}`

/** One function a line, in OpenAI's form. */
export const listFunctions = (tools: readonly ToolDefinition[]): string =>
  tools.map((tool) => JSON.stringify(toFunctionTool(tool))).join('\n')

/** The schema of a function's arguments, as one of an object. */
export const toArgumentSchema = ({ parameters }: ToolDefinition): JsonSchema =>
  parameters['type'] === undefined ? Object.assign({ type: 'object' }, parameters) : parameters

/** A tag for each function whose call is JSON between two texts. */
export const createJsonTags = (
  tools: readonly ToolDefinition[],
  key: ArgumentKey,
  begin = '',
  end = '',
): TagFormat[] =>
  tools.map((tool) => ({
    type: 'tag',
    begin: `${begin}{"name": ${JSON.stringify(tool.name)}, "${key}": `,
    content: { type: 'json_schema', json_schema: toArgumentSchema(tool) },
    end: `}${end}`,
  }))
