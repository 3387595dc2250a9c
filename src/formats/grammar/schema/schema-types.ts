// The types and bounds that a flat schema gives its values.

import { isRecord } from '../../../base/schema.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import { typeOfKeyword, type TypeName, TYPES } from './keywords.ts'
import { updateSchema } from './merge-schemas.ts'
import type { NumberBounds } from './number-range.ts'
import type { SchemaObject } from './schema-document.ts'

export const withoutKeys = (schema: SchemaObject, keys: readonly string[]): SchemaObject =>
  Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)))

export const isConstraint = (key: string): boolean =>
  typeOfKeyword.has(key) || ['type', 'enum', 'anyOf', 'oneOf', 'allOf', '$ref'].includes(key)

export const isConstrained = (schema: SchemaObject, type: TypeName): boolean =>
  Object.keys(schema).some((key) => typeOfKeyword.get(key) === type)

/** The types that a schema names, or those its keywords speak of; all if there are none. */
export function listTypes(schema: SchemaObject): TypeName[] {
  const given = schema['type'] as TypeName | readonly TypeName[] | undefined
  if (given !== undefined) {
    const types = [...new Set([given].flat())]
    return types.filter((type) => type !== 'integer' || !types.includes('number'))
  }
  const spoken = Object.keys(schema).flatMap((key) => typeOfKeyword.get(key) ?? [])
  return spoken.length > 0 ? [...new Set(spoken)] : TYPES.filter((type) => type !== 'integer')
}

export function isOfType(value: unknown, type: TypeName): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isRecord(value)
  if (type === 'integer') return Number.isInteger(value)
  return typeof value === type
}

export function readBounds(schema: SchemaObject): NumberBounds {
  const least = (schema['minimum'] ?? -Infinity) as number
  const above = (schema['exclusiveMinimum'] ?? -Infinity) as number
  const most = (schema['maximum'] ?? Infinity) as number
  const below = (schema['exclusiveMaximum'] ?? Infinity) as number
  return {
    least: Math.max(least, above),
    most: Math.min(most, below),
    isAbove: above >= least && above > -Infinity,
    isBelow: below <= most && below < Infinity,
  }
}

/** By types, by constants, or by a constant of a property that both require. */
export function isApart(a: SchemaObject, b: SchemaObject): boolean {
  const [left, right] = [a, b].map((one) => one['enum'] as readonly unknown[] | undefined)
  if (left && right)
    return !left.some((x) => right.some((y) => JSON.stringify(x) === JSON.stringify(y)))
  const [typesA, typesB] = [a, b].map(listTypes) as [TypeName[], TypeName[]]
  const isNumber = (type: TypeName): boolean => type === 'integer' || type === 'number'
  const isShared = typesA.some((type) =>
    typesB.some((other) => type === other || (isNumber(type) && isNumber(other))),
  )
  if (!isShared) return true
  const tags = [a, b].map(listTags) as [Map<string, string>, Map<string, string>]
  return [...tags[0]].some(([name, value]) => tags[1].has(name) && tags[1].get(name) !== value)
}

/** Required properties with one value. */
function listTags(schema: SchemaObject): Map<string, string> {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, SchemaValue>>
  const required = (schema['required'] ?? []) as readonly string[]
  return new Map(
    required.flatMap((name) => {
      const property = properties[name]
      if (!isRecord(property)) return []
      const values = updateSchema(property)['enum'] as readonly unknown[] | undefined
      return values?.length === 1 ? [[name, JSON.stringify(values[0])] as const] : []
    }),
  )
}
