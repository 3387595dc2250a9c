// Reads a JSON Schema into a grammar. Every text of the grammar is JSON, and fits the schema apart
// from what is listed as late: what no grammar can hold, which is checked when the value is complete.

import { GrammarError } from '../../../base/errors.ts'
import { isRecord } from '../../../base/schema.ts'
import {
  type GrammarExpression,
  type Grammar,
  isNothing,
  matchEither,
  matchRule,
  matchText,
  NOTHING,
  RuleBook,
} from '../grammar.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import { JsonRules, matchJson } from './json-text.ts'
import { lateKeywords, typeOfKeyword, type TypeName, TYPES } from './keywords.ts'
import { type MergedSchema, mergeSchemas, updateSchema } from './merge-schemas.ts'
import { matchNumberRange, type NumberBounds } from './number-range.ts'
import { readArray } from './read-arrays.ts'
import { readObject } from './read-objects.ts'
import { readString } from './read-strings.ts'
import { SchemaDocument, type SchemaObject } from './schema-document.ts'

export interface SchemaGrammar {
  readonly grammar: Grammar
  /** Places of keywords that the grammar does not hold: '#/properties/email/pattern'. */
  readonly late: readonly string[]
}

/** References and allOf within each other at most. */
const MOST_MERGES = 60
/** Pairs of alternatives that are written out at most. */
const MOST_PAIRS = 64

class SchemaReader {
  readonly #document: SchemaDocument
  readonly #rules: JsonRules
  readonly #known = new Map<string, string>()
  readonly #late = new Set<string>()
  readonly #reportLate = (schema: SchemaObject, keyword: string): void =>
    void this.#late.add(`${this.#document.placeOf(schema)}/${keyword}`)

  constructor(schema: SchemaValue, whitespace: 'free' | 'none') {
    this.#document = new SchemaDocument(schema)
    this.#rules = new JsonRules(new RuleBook(), whitespace)
  }

  read(): SchemaGrammar {
    const { root } = this.#document
    const expression = this.#read(root)
    const grammar = this.#rules.book.finish(expression)
    if (isNothing(expression))
      throw new GrammarError(
        'The JSON Schema',
        '#',
        'no value fits it: a keyword rules out what another asks for',
      )
    return { grammar, late: [...this.#late] }
  }

  #read(schema: SchemaValue): GrammarExpression {
    if (schema === true) return this.#rules.value
    if (schema === false) return NOTHING
    const key = JSON.stringify(schema)
    const known = this.#known.get(key)
    if (known !== undefined) return known === '' ? NOTHING : matchRule(known)
    const name = this.#rules.book.reserve('schema')
    this.#known.set(key, name)
    const expression = this.#readObject(this.#flatten(schema, 0))
    if (isNothing(expression)) this.#known.set(key, '')
    this.#rules.book.fill(name, expression)
    return isNothing(expression) ? NOTHING : matchRule(name)
  }

  /** Without $ref and allOf; undefined where nothing fits. */
  #flatten(given: SchemaValue, depth: number): SchemaObject | undefined {
    if (given === false) return undefined
    if (given === true) return {}
    if (depth > MOST_MERGES)
      throw this.#document.error(
        given,
        'refers to itself without an end: it holds itself, as by allOf',
      )
    const { $ref: reference, allOf, ...own } = updateSchema(given)
    let flat: SchemaObject | undefined = this.#document.keepPlace(own, given)
    const others: SchemaValue[] = [
      ...(reference === undefined ? [] : [this.#document.resolve(given)]),
      ...((allOf ?? []) as readonly SchemaValue[]),
    ]
    for (const other of others) {
      const next = this.#flatten(other, depth + 1)
      if (!flat || !next) return undefined
      flat = Object.keys(flat).length === 0 ? next : this.#merge(flat, next)
    }
    return flat
  }

  #merge(a: SchemaObject, b: SchemaObject): SchemaObject {
    const { schema, kept }: MergedSchema = mergeSchemas(
      this.#multiply(a, b, 'anyOf'),
      withoutKeys(b, ['anyOf', ...('oneOf' in a ? ['oneOf'] : [])]),
    )
    if ('oneOf' in a && 'oneOf' in b) this.#reportLate(a, 'oneOf')
    this.#document.keepPlace(schema, a)
    for (const keyword of kept) this.#reportLate(schema, keyword)
    return schema
  }

  /** Where both have alternatives: each of the one with each of the other. */
  #multiply(a: SchemaObject, b: SchemaObject, key: 'anyOf'): SchemaObject {
    const left = a[key] as readonly SchemaValue[] | undefined
    const right = b[key] as readonly SchemaValue[] | undefined
    if (!right) return a
    if (!left) return this.#document.keepPlace({ ...a, [key]: right }, a)
    if (left.length * right.length > MOST_PAIRS)
      throw this.#document.error(a, `over ${MOST_PAIRS} pairs of alternatives`, key)
    const pairs = left.flatMap((one) => right.map((other) => ({ allOf: [one, other] })))
    return this.#document.keepPlace({ ...a, [key]: pairs }, a)
  }

  #readObject(schema: SchemaObject | undefined): GrammarExpression {
    if (!schema) return NOTHING
    for (const keyword of lateKeywords) if (keyword in schema) this.#reportLate(schema, keyword)
    for (const key of ['oneOf', 'anyOf'] as const) {
      const branches = schema[key] as readonly SchemaValue[] | undefined
      if (!branches) continue
      if (key === 'oneOf' && !this.#areApart(branches)) this.#reportLate(schema, 'oneOf')
      const base = this.#document.keepPlace(withoutKeys(schema, [key]), schema)
      return matchEither(...branches.map((branch) => this.#readBranch(base, branch)))
    }
    if (schema['enum'] !== undefined) return this.#readEnum(schema)
    const types = listTypes(schema)
    return matchEither(...types.map((type) => this.#readType(type, schema)))
  }

  #readBranch(base: SchemaObject, branch: SchemaValue): GrammarExpression {
    if (!Object.keys(base).some(isConstraint)) return this.#read(branch)
    if (typeof branch === 'boolean') return branch ? this.#read(base) : NOTHING
    const joined = { allOf: [base, branch] }
    return this.#read(this.#document.keepPlace(joined, branch))
  }

  /** Whether no value fits two of them, as far as their types and constants tell. */
  #areApart(branches: readonly SchemaValue[]): boolean {
    const flat = branches.map((branch) => this.#flatten(branch, 0) ?? { enum: [] })
    return flat.every((one, i) => flat.slice(i + 1).every((other) => isApart(one, other)))
  }

  #readEnum(schema: SchemaObject): GrammarExpression {
    const values = schema['enum'] as readonly unknown[]
    const types = schema['type'] === undefined ? undefined : listTypes(schema)
    const fitting = values.filter((value) => !types || types.some((type) => isOfType(value, type)))
    const asked = Object.keys(schema).filter(
      (key) => isConstraint(key) && key !== 'enum' && key !== 'type',
    )
    for (const keyword of asked) this.#reportLate(schema, keyword)
    return matchEither(...fitting.map(matchJson))
  }

  #readType(type: TypeName, schema: SchemaObject): GrammarExpression {
    const rules = this.#rules
    const place = this.#document.placeOf(schema)
    const parts = {
      rules,
      place,
      reportLate: this.#reportLate,
      read: (inner: SchemaValue) => this.#read(inner),
    }
    switch (type) {
      case 'null':
        return matchText('null')
      case 'boolean':
        return matchEither(matchText('true'), matchText('false'))
      case 'integer':
      case 'number':
        return this.#readNumber(schema, type === 'integer')
      case 'string':
        return readString(schema, place, rules, this.#reportLate)
      case 'array':
        return isConstrained(schema, type) ? readArray(schema, parts) : rules.array
      case 'object':
        return isConstrained(schema, type) ? readObject(schema, parts) : rules.object
    }
  }

  #readNumber(schema: SchemaObject, isInteger: boolean): GrammarExpression {
    const bounds = readBounds(schema)
    const { number, integer, book } = this.#rules
    if (bounds.least === -Infinity && bounds.most === Infinity) return isInteger ? integer : number
    const expression = matchNumberRange(bounds, isInteger)
    return isNothing(expression) ? NOTHING : book.add('range', expression)
  }
}

const withoutKeys = (schema: SchemaObject, keys: readonly string[]): SchemaObject =>
  Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)))

const isConstraint = (key: string): boolean =>
  key in typeOfKeyword || ['type', 'enum', 'anyOf', 'oneOf', 'allOf', '$ref'].includes(key)

const isConstrained = (schema: SchemaObject, type: TypeName): boolean =>
  Object.keys(schema).some((key) => typeOfKeyword[key] === type)

/** The types that a schema names, or those its keywords speak of; all where there are none. */
function listTypes(schema: SchemaObject): TypeName[] {
  const given = schema['type'] as TypeName | readonly TypeName[] | undefined
  if (given !== undefined) {
    const types = [...new Set([given].flat())]
    return types.filter((type) => type !== 'integer' || !types.includes('number'))
  }
  const spoken = Object.keys(schema).flatMap((key) => typeOfKeyword[key] ?? [])
  return spoken.length > 0 ? [...new Set(spoken)] : TYPES.filter((type) => type !== 'integer')
}

function isOfType(value: unknown, type: TypeName): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isRecord(value)
  if (type === 'integer') return Number.isInteger(value)
  return typeof value === type
}

function readBounds(schema: SchemaObject): NumberBounds {
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
function isApart(a: SchemaObject, b: SchemaObject): boolean {
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

/** Throws GrammarError that names the place in the schema as a JSON pointer. */
export const readSchema = (
  schema: SchemaValue,
  whitespace: 'free' | 'none' = 'free',
): SchemaGrammar => new SchemaReader(schema, whitespace).read()
