// Where a schema's strings have lengths that are counted while they are written. In a grammar each
// count would be its own state, and computing its mask takes 14 ms of 50,000 tokens: seconds for a
// string of some hundred characters. Independent of tokens.

import type { SchemaValue } from '../grammar-choice.ts'
import type { Lengths } from './lengths.ts'
import type { SchemaObject } from './schema-document.ts'

/**
 * The constraints at one place of a value; places within it are requested when they are reached.
 */
export interface LengthPlan {
  /** Of a string at this place. */
  readonly own: Lengths | undefined
  property(name: string): LengthPlan | undefined
  item(index: number): LengthPlan | undefined
}

/** The schema at a place, without $ref and allOf; undefined if several may hold. */
export type FindSchema = (schema: SchemaValue) => SchemaObject | undefined

/** A string's lengths, where they are counted. */
export function findCounted(schema: SchemaObject): Lengths | undefined {
  if ('pattern' in schema || 'format' in schema || 'enum' in schema) return undefined
  const least = (schema['minLength'] ?? 0) as number
  const most = (schema['maxLength'] ?? Infinity) as number
  return most < Infinity || least > 1 ? { least, most } : undefined
}

export function createLengthPlan(
  given: SchemaValue | undefined,
  find: FindSchema,
): LengthPlan | undefined {
  if (given === undefined || typeof given === 'boolean') return undefined
  const schema = find(given)
  if (!schema) return undefined
  const schemas = (key: string): Readonly<Record<string, SchemaValue>> =>
    (schema[key] ?? {}) as Readonly<Record<string, SchemaValue>>
  const known = new Map<string | number, LengthPlan | undefined>()
  const getPlan = (
    key: string | number,
    value: SchemaValue | undefined,
  ): LengthPlan | undefined => {
    if (!known.has(key)) known.set(key, createLengthPlan(value, find))
    return known.get(key)
  }
  return {
    own: findCounted(schema),
    property(name) {
      const own = schemas('properties')
      if (Object.hasOwn(own, name)) return getPlan(name, own[name])
      const pattern = Object.entries(schemas('patternProperties')).find(([key]) =>
        new RegExp(key, 'u').test(name),
      )
      return pattern
        ? getPlan(`^${pattern[0]}`, pattern[1])
        : getPlan('*', schema['additionalProperties'] as SchemaValue | undefined)
    },
    item(index) {
      const prefix = (schema['prefixItems'] ?? []) as readonly SchemaValue[]
      return index < prefix.length
        ? getPlan(index, prefix[index])
        : getPlan(-1, schema['items'] as SchemaValue | undefined)
    },
  }
}
