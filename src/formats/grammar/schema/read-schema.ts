// Reads a JSON Schema into a grammar. Every text of the grammar is JSON, and fits the schema apart
// from what is listed as late: what no grammar can hold, which is checked when the value is
// complete.

import { GrammarError } from '../../../base/errors.ts'
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
import { lateKeywords, type TypeName } from './keywords.ts'
import { createLengthPlan, findCounted, type LengthPlan } from './length-plan.ts'
import { type MergedSchema, mergeSchemas, updateSchema } from './merge-schemas.ts'
import { matchNumberRange } from './number-range.ts'
import { readArray } from './read-arrays.ts'
import { readObject } from './read-objects.ts'
import { readString } from './read-strings.ts'
import { SchemaDocument, type SchemaObject } from './schema-document.ts'
import {
  isApart,
  isConstrained,
  isConstraint,
  isOfType,
  listTypes,
  readBounds,
  withoutKeys,
} from './schema-types.ts'

export interface SchemaGrammar {
  readonly grammar: Grammar
  /** Places of keywords that the grammar does not hold: '#/properties/email/pattern'. */
  readonly late: readonly string[]
  /** Lengths that are counted while the text is written. */
  readonly lengths: LengthPlan | undefined
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
  /** Whether the grammar has strings whose lengths are counted. */
  #hasCounted = false
  /** Nested alternatives that are being read: their places determine no lengths. */
  #unions = 0
  readonly #canCount: boolean
  readonly #reportLate = (schema: SchemaObject, keyword: string): void =>
    void this.#late.add(`${this.#document.placeOf(schema)}/${keyword}`)

  constructor(schema: SchemaValue, { whitespace = 'free', canCount = false }: SchemaOptions) {
    this.#canCount = canCount
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
    const lengths = this.#hasCounted
      ? createLengthPlan(root, (schema) => this.#findPlain(schema))
      : undefined
    return { grammar, late: [...this.#late], lengths }
  }

  #read(schema: SchemaValue): GrammarExpression {
    if (schema === true) return this.#rules.value
    if (schema === false) return NOTHING
    const key = `${this.#unions > 0} ${JSON.stringify(schema)}`
    const known = this.#known.get(key)
    if (known !== undefined) return known === '' ? NOTHING : matchRule(known)
    const name = this.#rules.book.reserve('schema')
    this.#known.set(key, name)
    const expression = this.#readObject(this.#flatten(schema, 0))
    if (isNothing(expression)) this.#known.set(key, '')
    this.#rules.book.fill(name, expression)
    return isNothing(expression) ? NOTHING : matchRule(name)
  }

  /** Without $ref and allOf; undefined if nothing fits. */
  #flatten(given: SchemaValue, depth: number): SchemaObject | undefined {
    if (given === false) return undefined
    if (given === true) return {}
    if (depth > MOST_MERGES)
      throw this.#document.error(
        given,
        'refers to itself without an end: it contains itself, as by allOf',
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
      const isUnion = branches.filter((branch) => this.#hasPlaces(branch)).length > 1
      if (isUnion) this.#unions++
      const read = branches.map((branch) => this.#readBranch(base, branch))
      if (isUnion) this.#unions--
      return matchEither(...read)
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

  /** Whether values of the schema have strings that may be long. */
  #hasPlaces(schema: SchemaValue): boolean {
    const flat = this.#flatten(schema, 0)
    if (!flat || flat['enum'] !== undefined) return false
    if (flat['anyOf'] !== undefined || flat['oneOf'] !== undefined) return true
    return listTypes(flat).some((type) => ['string', 'array', 'object'].includes(type))
  }

  /**
   * The one schema that applies at a place, if there is one; its alternatives may be simple values.
   */
  #findPlain(given: SchemaValue): SchemaObject | undefined {
    const schema = this.#flatten(given, 0)
    const branches = (schema?.['anyOf'] ?? schema?.['oneOf']) as readonly SchemaValue[] | undefined
    if (!schema || !branches) return schema
    const [only, ...others] = branches.filter((branch) => this.#hasPlaces(branch))
    if (only === undefined || others.length > 0) return undefined
    const base = withoutKeys(schema, ['anyOf', 'oneOf'])
    return this.#findPlain(Object.keys(base).some(isConstraint) ? { allOf: [base, only] } : only)
  }

  /** Whether no value fits two of them, as far as their types and constants show. */
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
        return this.#readString(schema, place)
      case 'array':
        return isConstrained(schema, type) ? readArray(schema, parts) : rules.array
      case 'object':
        return isConstrained(schema, type) ? readObject(schema, parts) : rules.object
    }
  }

  #readString(schema: SchemaObject, place: string): GrammarExpression {
    const canCount = this.#canCount && this.#unions === 0
    this.#hasCounted ||= canCount && findCounted(schema) !== undefined
    return readString(schema, place, this.#rules, { reportLate: this.#reportLate, canCount })
  }

  #readNumber(schema: SchemaObject, isInteger: boolean): GrammarExpression {
    const bounds = readBounds(schema)
    const { number, integer, book } = this.#rules
    if (bounds.least === -Infinity && bounds.most === Infinity) return isInteger ? integer : number
    const expression = matchNumberRange(bounds, isInteger)
    return isNothing(expression) ? NOTHING : book.add('range', expression)
  }
}

export interface SchemaOptions {
  /** Default 'free'. */
  readonly whitespace?: 'free' | 'none' | undefined
  /** Whether the user of the grammar counts lengths by the plan. Default false. */
  readonly canCount?: boolean | undefined
}

/** Throws GrammarError that names the place in the schema as a JSON pointer. */
export const readSchema = (schema: SchemaValue, options: SchemaOptions = {}): SchemaGrammar =>
  new SchemaReader(schema, options).read()
