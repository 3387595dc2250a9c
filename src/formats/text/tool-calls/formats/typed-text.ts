// Arguments as plain text between tags: the function's schema determines which of them are numbers,
// objects or lists.

import { isRecord, type JsonSchema } from '../../../../base/schema.ts'
import type { StructuralFormat, TagFormat } from '../../../grammar/grammar-choice.ts'
import type { ToolDefinition } from '../tool-call-format.ts'
import {
  listRequired,
  matchConstant,
  nothing,
  resolveReference,
  takeProperties,
} from './members-grammar.ts'

/** The types that a value may have; undefined if the schema does not say. */
export function listTypes(
  tool: ToolDefinition | undefined,
  key: string,
): readonly unknown[] | undefined {
  const found = tool && takeProperties(tool.parameters).find(([name]) => name === key)
  if (!found) return undefined
  const schema = resolveReference(found[1])
  const { type, anyOf, oneOf } = schema
  if (type !== undefined) return [type].flat()
  const parts = [anyOf, oneOf].flat().filter(isRecord)
  if (parts.length > 0) return parts.flatMap((part) => part['type'] ?? [])
  const choices = schema['enum']
  return Array.isArray(choices) ? choices.map((choice) => typeof choice) : undefined
}

/** A non-string value, parsed as JSON; a string if it is none of the schema's types. */
export function toTypedJson(text: string, types: readonly unknown[]): string {
  const json = { True: 'true', False: 'false', None: 'null' }[text.trim()] ?? text.trim()
  try {
    const value: unknown = JSON.parse(json)
    const isText = typeof value === 'string'
    return types.includes('string') && (isText || value !== null) ? JSON.stringify(text) : json
  } catch {
    return JSON.stringify(text)
  }
}

/** A string unchanged, anything else as JSON. */
export const formatPlainValue = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value)

/** A value in a grammar: text as it is, one of some texts, or JSON. */
function describeValue(given: JsonSchema): StructuralFormat {
  const schema = resolveReference(given)
  const choices = schema['enum']
  if (schema['type'] !== 'string') return { type: 'json_schema', json_schema: schema }
  return Array.isArray(choices)
    ? { type: 'or', elements: choices.map((value) => matchConstant(String(value))) }
    : { type: 'any_text' }
}

/** The members of an object in a grammar, a tag each; those that are not required, or nothing. */
export function describeTaggedMembers(
  schema: JsonSchema,
  toTag: (key: string, content: StructuralFormat, isText: boolean) => TagFormat,
): StructuralFormat {
  const needed = listRequired(schema)
  const elements = takeProperties(schema).map(([key, value]): StructuralFormat => {
    const isText = resolveReference(value)['type'] === 'string'
    const member = toTag(key, describeValue(value), isText)
    return needed.includes(key) ? member : { type: 'or', elements: [member, nothing] }
  })
  return elements.length > 0 ? { type: 'sequence', elements } : nothing
}
