// Combines two schemas into one that requires both: for allOf, and for keywords next to $ref, anyOf
// and oneOf. Schemas within them are joined by allOf, and merged when their turn comes.

import { isRecord } from '../../../base/schema.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import type { SchemaObject } from './schema-document.ts'

type Both = (a: never, b: never) => unknown
type Schemas = Readonly<Record<string, SchemaValue>>

const joinSchemas = (a: SchemaValue, b: SchemaValue): SchemaValue => {
  if (a === true || JSON.stringify(a) === JSON.stringify(b)) return b
  if (b === true) return a
  return a === false || b === false ? false : { allOf: [a, b] }
}

const joinByName = (a: Schemas, b: Schemas): Schemas => ({
  ...a,
  ...Object.fromEntries(
    Object.entries(b).map(([name, schema]) => [
      name,
      Object.hasOwn(a, name) ? joinSchemas(a[name]!, schema) : schema,
    ]),
  ),
})

const listTypes = (type: unknown): string[] =>
  Array.isArray(type) ? (type as string[]) : [type as string]

const isTypeIn = (type: string, types: readonly string[]): boolean =>
  types.includes(type) || (type === 'integer' && types.includes('number'))

const intersectTypes = (a: unknown, b: unknown): string[] => {
  const left = listTypes(a)
  const right = listTypes(b)
  const kept = [
    ...left.filter((type) => isTypeIn(type, right)),
    ...right.filter((type) => isTypeIn(type, left)),
  ]
  return [...new Set(kept)]
}

const intersectValues = (a: readonly unknown[], b: readonly unknown[]): unknown[] => {
  const texts = new Set(b.map((value) => JSON.stringify(value)))
  return a.filter((value) => texts.has(JSON.stringify(value)))
}

/**
 * By keyword, where both schemas have it. Others keep the first value; the late check sees both.
 */
const merges: ReadonlyMap<string, Both> = new Map(
  Object.entries<Both>({
    type: intersectTypes,
    enum: intersectValues,
    required: (a: readonly string[], b: readonly string[]) => [...new Set([...a, ...b])],
    patternProperties: joinByName,
    $defs: joinByName,
    additionalProperties: joinSchemas,
    propertyNames: joinSchemas,
    items: joinSchemas,
    minimum: Math.max,
    exclusiveMinimum: Math.max,
    maximum: Math.min,
    exclusiveMaximum: Math.min,
    minLength: Math.max,
    maxLength: Math.min,
    minItems: Math.max,
    maxItems: Math.min,
    minProperties: Math.max,
    maxProperties: Math.min,
    allOf: (a: readonly unknown[], b: readonly unknown[]) => [...a, ...b],
  }),
)

/** Keywords that were in both and of which one value was kept. */
export interface MergedSchema {
  readonly schema: SchemaObject
  readonly kept: readonly string[]
}

/** A schema's additional properties hold for the names that only the other one lists. */
function extendProperties(from: SchemaObject, other: SchemaObject): Schemas {
  const own = (from['properties'] ?? {}) as Schemas
  const rest = from['additionalProperties'] as SchemaValue | undefined
  const patterns = Object.keys((from['patternProperties'] ?? {}) as object)
  if (rest === undefined || rest === true) return own
  const added = Object.keys((other['properties'] ?? {}) as object).filter(
    (name) =>
      !Object.hasOwn(own, name) && !patterns.some((pattern) => new RegExp(pattern, 'u').test(name)),
  )
  return { ...own, ...Object.fromEntries(added.map((name) => [name, rest])) }
}

/** Of lists of first items, each by place; after the end of the shorter one, its rest applies. */
function mergePrefixes(a: SchemaObject, b: SchemaObject): SchemaValue[] | undefined {
  const [left, right] = [a, b].map(
    (one) => one['prefixItems'] as readonly SchemaValue[] | undefined,
  )
  if (!left && !right) return undefined
  const restOf = (one: SchemaObject): SchemaValue => (one['items'] ?? true) as SchemaValue
  return Array.from({ length: Math.max(left?.length ?? 0, right?.length ?? 0) }, (_, i) =>
    joinSchemas(left?.[i] ?? restOf(a), right?.[i] ?? restOf(b)),
  )
}

/** What fits both; neither has $ref, allOf, anyOf or oneOf in common with the other. */
export function mergeSchemas(a: SchemaObject, b: SchemaObject): MergedSchema {
  const merged: Record<string, unknown> = { ...a }
  const kept: string[] = []
  for (const [key, value] of Object.entries(b)) {
    const before = Object.hasOwn(merged, key) ? merged[key] : undefined
    const merge = merges.get(key)
    if (before === undefined) merged[key] = value
    else if (merge) merged[key] = merge(before as never, value as never)
    else if (JSON.stringify(before) !== JSON.stringify(value) && isNarrowing(key)) kept.push(key)
  }
  if ('properties' in a || 'properties' in b)
    merged['properties'] = joinByName(extendProperties(a, b), extendProperties(b, a))
  const prefixes = mergePrefixes(a, b)
  if (prefixes) merged['prefixItems'] = prefixes
  return { schema: merged, kept }
}

/** Of keywords without a merge: those that ask something. */
const isNarrowing = (key: string): boolean =>
  ['pattern', 'format', 'multipleOf', 'not', 'if', 'contains', 'dependentRequired'].includes(key)

/** Older spellings in today's: const, items as a list, exclusive bounds as flags. */
export function updateSchema(schema: SchemaObject): SchemaObject {
  const { const: constant, items, additionalItems, ...rest } = schema
  const modern: Record<string, unknown> = { ...rest }
  if (Object.hasOwn(schema, 'const')) {
    const given = rest['enum'] as readonly unknown[] | undefined
    modern['enum'] = given ? intersectValues(given, [constant]) : [constant]
  }
  if (Array.isArray(items)) {
    modern['prefixItems'] = items
    if (additionalItems !== undefined) modern['items'] = additionalItems
  } else if (items !== undefined) modern['items'] = items
  for (const [flag, bound] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (typeof modern[flag] !== 'boolean') continue
    const isExclusive = modern[flag] && modern[bound] !== undefined
    if (isExclusive) modern[flag] = modern[bound]
    else delete modern[flag]
    if (isExclusive) delete modern[bound]
  }
  return modern
}

export const isPlainSchema = (schema: unknown): schema is SchemaObject => isRecord(schema)
