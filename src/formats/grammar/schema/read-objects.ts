// Schemas of objects as expressions. Properties come in the order in which the schema lists them;
// others follow, if the schema defines them.

import {
  type GrammarExpression,
  isNothing,
  matchCodes,
  matchEither,
  matchRepeat,
  matchSequence,
  matchText,
  NOTHING,
} from '../grammar.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import {
  escapeForJson,
  type JsonRules,
  matchJson,
  matchString,
  PLAIN_CHARACTER,
} from './json-text.ts'
import { readRegex } from '../regex/read-regex.ts'
import type { ReportLate } from './read-strings.ts'
import type { SchemaObject } from './schema-document.ts'

export interface ObjectParts {
  readonly rules: JsonRules
  readonly reportLate: ReportLate
  /** The values of a schema within this one. */
  readonly read: (schema: SchemaValue) => GrammarExpression
  readonly place: string
}

interface Property {
  readonly name: string
  readonly pair: GrammarExpression
  readonly isRequired: boolean
}

type Schemas = Readonly<Record<string, SchemaValue>>

/** Strings of literal characters, other than these. */
export function matchOtherNames(names: readonly string[]): GrammarExpression {
  const walk = (rests: readonly string[][]): GrammarExpression => {
    const byFirst = Map.groupBy(
      rests.filter((rest) => rest.length > 0),
      ([first]) => first!,
    )
    const isName = rests.some((rest) => rest.length === 0)
    const taken = [...byFirst.keys()].map((first) => {
      const code = first.codePointAt(0)!
      return [code, code] as const
    })
    const any = matchRepeat(PLAIN_CHARACTER, 0, Infinity)
    const others = matchSequence(withoutCodes(taken), any)
    const deeper = [...byFirst].map(([first, tails]) =>
      matchSequence(matchText(first), walk(tails.map((tail) => tail.slice(1)))),
    )
    return matchEither(...(isName ? [] : [matchText('')]), others, ...deeper)
  }
  return walk(names.map((name) => Array.from(name)))
}

const withoutCodes = (taken: readonly (readonly [number, number])[]): GrammarExpression => {
  const { ranges } = PLAIN_CHARACTER as Extract<GrammarExpression, { readonly type: 'codes' }>
  return matchCodes(
    taken.reduce(
      (left, [code]) =>
        left.flatMap(([from, to]) => {
          if (code < from || code > to) return [[from, to] as const]
          return [[from, code - 1] as const, [code + 1, to] as const].filter(([a, b]) => a <= b)
        }),
      ranges,
    ),
  )
}

export function readObject(schema: SchemaObject, parts: ObjectParts): GrammarExpression {
  const { rules, reportLate } = parts
  const properties = (schema['properties'] ?? {}) as Schemas
  const required = new Set((schema['required'] ?? []) as readonly string[])
  const extra = readExtra(schema, properties, parts)
  const listed: Property[] = [...Object.entries(properties)].flatMap(([name, value]) => {
    const read = parts.read(value)
    const isRequired = required.has(name)
    if (isNothing(read)) return isRequired ? [{ name, pair: NOTHING, isRequired }] : []
    return [{ name, pair: rules.pair(matchJson(name), read), isRequired }]
  })
  // A required name without its own schema is one of the others.
  const unlisted = [...required].filter((name) => !Object.hasOwn(properties, name))
  for (const name of unlisted) {
    const value = findExtraValue(name, schema, parts)
    listed.push({ name, pair: rules.pair(matchJson(name), value), isRequired: true })
  }
  return joinProperties(schema, listed, extra, { rules, reportLate })
}

/** The value that a name outside of `properties` has. */
function findExtraValue(
  name: string,
  schema: SchemaObject,
  { read }: ObjectParts,
): GrammarExpression {
  const patterns = (schema['patternProperties'] ?? {}) as Schemas
  const found = Object.entries(patterns).find(([pattern]) => new RegExp(pattern, 'u').test(name))
  return read(found?.[1] ?? ((schema['additionalProperties'] ?? true) as SchemaValue))
}

/** A pair of another name; nothing where there may be none. */
function readExtra(
  schema: SchemaObject,
  properties: Schemas,
  parts: ObjectParts,
): GrammarExpression {
  const { rules, reportLate, read, place } = parts
  const patterns = Object.entries((schema['patternProperties'] ?? {}) as Schemas)
  if (patterns.length > 0) {
    const pairs = patterns.map(([pattern, value]) => {
      const what = `The JSON Schema: ${place}/patternProperties/${pattern}`
      const { expression } = readRegex(pattern, { what, where: 'inside', drop: true })
      return rules.pair(rules.book.add('name', matchString(escapeForJson(expression))), read(value))
    })
    // A name may fit two patterns, or be a listed property.
    if (patterns.length > 1 || Object.keys(properties).length > 0)
      reportLate(schema, 'patternProperties')
    return matchEither(...pairs)
  }
  const isFree = Object.keys(properties).length === 0 && schema['propertyNames'] === undefined
  const rest = (schema['additionalProperties'] ?? isFree) as SchemaValue
  const names = schema['propertyNames'] as SchemaValue | undefined
  if (rest === false && names === undefined) return NOTHING
  if (rest === false && schema['additionalProperties'] === false) return NOTHING
  const listed = [...Object.keys(properties), ...((schema['required'] ?? []) as string[])]
  if (names !== undefined) {
    if (listed.length > 0) reportLate(schema, 'propertyNames')
    return rules.pair(
      read(typeof names === 'boolean' ? names : { type: 'string', ...names }),
      read(rest === false ? true : rest),
    )
  }
  if (listed.length === 0) return rules.pair(rules.string, read(rest))
  return rules.pair(rules.book.add('name', matchString(matchOtherNames(listed))), read(rest))
}

/** Listed properties in order, optional ones or not, then the others. */
function joinProperties(
  schema: SchemaObject,
  listed: readonly Property[],
  extra: GrammarExpression,
  { rules, reportLate }: Pick<ObjectParts, 'rules' | 'reportLate'>,
): GrammarExpression {
  const least = (schema['minProperties'] ?? 0) as number
  const most = (schema['maxProperties'] ?? Infinity) as number
  const requiredCount = listed.filter(({ isRequired }) => isRequired).length
  if (requiredCount > most) return NOTHING
  if (listed.length === 0) {
    if (isNothing(extra)) return least > 0 ? NOTHING : matchText('{}')
    // Equal names count once when the text is read.
    if (least > 1) reportLate(schema, 'minProperties')
    return rules.list('{', '}', extra, least, most)
  }
  if (least > requiredCount) reportLate(schema, 'minProperties')
  if (most < listed.length || (most < Infinity && !isNothing(extra)))
    reportLate(schema, 'maxProperties')
  const others = (isFirst: boolean): GrammarExpression => {
    if (isNothing(extra)) return matchText('')
    const more = matchSequence(rules.comma, extra)
    return isFirst
      ? matchRepeat(matchSequence(extra, matchRepeat(more, 0, Infinity)), 0, 1)
      : matchRepeat(more, 0, Infinity)
  }
  return matchSequence(matchText('{'), rules.space, joinFrom(listed, rules, others))
}

/**
 * The pairs from each property on, as rules: `behind` follows a pair that was written, `first` is
 * where none was.
 */
function joinFrom(
  listed: readonly Property[],
  { book, comma, space }: JsonRules,
  others: (isFirst: boolean) => GrammarExpression,
): GrammarExpression {
  const end = matchSequence(space, matchText('}'))
  let behind = matchSequence(others(false), end)
  let first = matchSequence(others(true), end)
  for (const { pair, isRequired } of listed.toReversed()) {
    const rest = asRule(behind, book)
    const started = matchSequence(pair, rest)
    first = isRequired ? started : matchEither(started, asRule(first, book))
    behind = isRequired
      ? matchSequence(comma, started)
      : matchEither(matchSequence(comma, started), rest)
  }
  return first
}

const asRule = (expression: GrammarExpression, book: JsonRules['book']): GrammarExpression =>
  expression.type === 'text' || expression.type === 'rule'
    ? expression
    : book.add('first', expression)
