// JSON Schema's keywords (drafts 7 to 2020-12): what their values must be, where schemas are in
// them, and which of them a grammar cannot hold.

import { isRecord } from '../../../base/schema.ts'

export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const
export type TypeName = (typeof TYPES)[number]

export interface Keyword {
  readonly expected: string
  readonly is: (value: unknown) => boolean
  /** Where schemas are in the value: itself, in a list, or by name. */
  readonly schemas?: 'one' | 'list' | 'map' | 'one-or-list' | 'map-or-names'
}

const isSchema = (value: unknown): boolean => typeof value === 'boolean' || isRecord(value)
const isNames = (value: unknown): boolean =>
  Array.isArray(value) && value.every((name) => typeof name === 'string')
const isType = (value: unknown): boolean => TYPES.includes(value as TypeName)

const schema: Keyword = { expected: 'a schema', is: isSchema, schemas: 'one' }
const schemaList: Keyword = {
  expected: 'a list of schemas that is not empty',
  is: (value) => Array.isArray(value) && value.length > 0 && value.every(isSchema),
  schemas: 'list',
}
const schemaMap: Keyword = {
  expected: 'an object of schemas',
  is: (value) => isRecord(value) && Object.values(value).every(isSchema),
  schemas: 'map',
}
const number: Keyword = { expected: 'a number', is: Number.isFinite }
const count: Keyword = {
  expected: 'an integer ≥ 0',
  is: (value) => Number.isInteger(value) && (value as number) >= 0,
}
const string: Keyword = { expected: 'a string', is: (value) => typeof value === 'string' }
const flag: Keyword = { expected: 'true or false', is: (value) => typeof value === 'boolean' }
const bound: Keyword = {
  expected: 'a number (or true or false, in draft 4)',
  is: (value) => Number.isFinite(value) || typeof value === 'boolean',
}

export const keywords: Readonly<Record<string, Keyword>> = {
  $ref: string,
  $defs: schemaMap,
  definitions: schemaMap,
  type: {
    expected: `one of ${TYPES.join(', ')}, or a list of them`,
    is: (value) =>
      isType(value) || (Array.isArray(value) && value.length > 0 && value.every(isType)),
  },
  enum: {
    expected: 'a list that is not empty',
    is: (value) => Array.isArray(value) && value.length > 0,
  },
  allOf: schemaList,
  anyOf: schemaList,
  oneOf: schemaList,
  ...Object.fromEntries(['not', 'if', 'then', 'else'].map((name) => [name, schema])),
  properties: schemaMap,
  patternProperties: schemaMap,
  additionalProperties: schema,
  propertyNames: schema,
  required: { expected: 'a list of names', is: isNames },
  minProperties: count,
  maxProperties: count,
  dependentRequired: {
    expected: 'an object of lists of names',
    is: (value) => isRecord(value) && Object.values(value).every(isNames),
  },
  dependentSchemas: schemaMap,
  dependencies: {
    expected: 'an object of schemas or lists of names',
    is: (value) =>
      isRecord(value) && Object.values(value).every((one) => isSchema(one) || isNames(one)),
    schemas: 'map-or-names',
  },
  unevaluatedProperties: schema,
  items: {
    expected: 'a schema, or a list of schemas',
    is: (value) => isSchema(value) || (Array.isArray(value) && value.every(isSchema)),
    schemas: 'one-or-list',
  },
  prefixItems: schemaList,
  additionalItems: schema,
  contains: schema,
  minContains: count,
  maxContains: count,
  minItems: count,
  maxItems: count,
  uniqueItems: flag,
  unevaluatedItems: schema,
  minLength: count,
  maxLength: count,
  pattern: string,
  format: string,
  minimum: number,
  maximum: number,
  exclusiveMinimum: bound,
  exclusiveMaximum: bound,
  multipleOf: {
    expected: 'a number above 0',
    is: (value) => Number.isFinite(value) && (value as number) > 0,
  },
}

/** Keywords that are left to the check of the complete value, wherever they are. */
export const lateKeywords = [
  'not',
  'if',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
  'unevaluatedProperties',
  'unevaluatedItems',
  'contains',
  'minContains',
  'maxContains',
  'multipleOf',
] as const

/** The type that a keyword speaks of, for schemas that name none. */
export const typeOfKeyword: ReadonlyMap<string, TypeName> = new Map(
  Object.entries<TypeName>({
    properties: 'object',
    patternProperties: 'object',
    additionalProperties: 'object',
    propertyNames: 'object',
    required: 'object',
    minProperties: 'object',
    maxProperties: 'object',
    items: 'array',
    prefixItems: 'array',
    minItems: 'array',
    maxItems: 'array',
    uniqueItems: 'array',
    contains: 'array',
    minLength: 'string',
    maxLength: 'string',
    pattern: 'string',
    format: 'string',
    minimum: 'number',
    maximum: 'number',
    exclusiveMinimum: 'number',
    exclusiveMaximum: 'number',
    multipleOf: 'number',
  }),
)
