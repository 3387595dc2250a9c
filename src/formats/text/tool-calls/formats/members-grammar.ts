// The members of an object in a grammar whose notation is not JSON: those that are required in the
// order of the schema, then each other one or nothing.

import { isRecord, type JsonSchema } from '../../../../base/schema.ts'
import type { StructuralFormat, TagFormat } from '../../../grammar/grammar-choice.ts'

/** The empty text. */
export const nothing: StructuralFormat = { type: 'grammar', grammar: 'root ::= ""' }

export const matchConstant = (value: string): StructuralFormat =>
  value === '' ? nothing : { type: 'const_string', value }

type Member = Pick<TagFormat, 'begin' | 'content' | 'end'>

/** What references of a schema's parts lead to. */
export const pickDefinitions = ({ $defs, definitions }: JsonSchema): JsonSchema => ({
  ...(isRecord($defs) && { $defs }),
  ...(isRecord(definitions) && { definitions }),
})

/** Definitions that references of a part lead to come along with it. */
export function takeProperties(schema: JsonSchema): [string, JsonSchema][] {
  const { properties } = schema
  const shared = pickDefinitions(schema)
  return Object.entries(isRecord(properties) ? properties : {}).map(([key, value]) => [
    key,
    isRecord(value) ? Object.assign({}, value, shared) : {},
  ])
}

/** Resolves a schema's reference into its own definitions; other references are kept. */
export function resolveReference(schema: JsonSchema): JsonSchema {
  const [, key, name] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(String(schema['$ref'])) ?? []
  const shared = key === undefined ? undefined : schema[key]
  const found = isRecord(shared) ? shared[name!] : undefined
  return isRecord(found) ? Object.assign({}, found, { [key!]: shared }) : schema
}

export const listRequired = ({ required }: JsonSchema): readonly unknown[] =>
  Array.isArray(required) ? required : []

/** Members with a separator between. */
export function createMembers(
  schema: JsonSchema,
  toMember: (key: string, value: JsonSchema) => Member,
  separator = ',',
): StructuralFormat {
  const needed = listRequired(schema)
  const properties = takeProperties(schema)
  const toTag = ([key, value]: [string, JsonSchema], before: string): TagFormat => {
    const { begin, content, end } = toMember(key, value)
    return { type: 'tag', begin: before + begin, content, end }
  }
  const first = properties.filter(([key]) => needed.includes(key))
  const others = properties.filter(([key]) => !needed.includes(key))
  if (first.length === 0) {
    if (others.length === 0) return nothing
    const tags = others.map((property) => toTag(property, ''))
    return {
      type: 'or',
      elements: [{ type: 'tags_with_separator', tags, separator }, nothing],
    }
  }
  return {
    type: 'sequence',
    elements: [
      ...first.map((property, i) => toTag(property, i > 0 ? separator : '')),
      ...others.map((property): StructuralFormat => ({
        type: 'or',
        elements: [toTag(property, separator), nothing],
      })),
    ],
  }
}
