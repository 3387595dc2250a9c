// Schemas of strings as expressions: patterns, formats, lengths.

import { type GrammarExpression, matchRepeat, NOTHING } from '../grammar.ts'
import { computeLengths } from './lengths.ts'
import { readRegex } from '../regex/read-regex.ts'
import { formatPatterns } from './formats.ts'
import { escapeForJson, type JsonRules, matchString, STRING_CHARACTER } from './json-text.ts'
import { findCounted } from './length-plan.ts'
import type { SchemaObject } from './schema-document.ts'

/** Reports which keyword a grammar cannot express. */
export type ReportLate = (schema: SchemaObject, keyword: string) => void

/** A pattern's texts; `place` names it in errors. */
function readPattern(
  schema: SchemaObject,
  place: string,
  reportLate: ReportLate,
): GrammarExpression | undefined {
  const pattern = schema['pattern'] as string | undefined
  if (pattern !== undefined) {
    const what = `The JSON Schema: ${place}/pattern`
    const { expression, dropped } = readRegex(pattern, { what, where: 'inside', drop: true })
    if (dropped.length > 0) reportLate(schema, 'pattern')
    if (schema['format'] !== undefined) reportLate(schema, 'format')
    return expression
  }
  const format = schema['format'] as string | undefined
  if (format === undefined) return undefined
  if (Object.hasOwn(formatPatterns, format))
    return readRegex(formatPatterns[format]!, { what: format, where: 'whole', drop: false })
      .expression
  reportLate(schema, 'format')
  return undefined
}

export interface StringParts {
  readonly reportLate: ReportLate
  /**
   * Whether the string's position in the value determines its lengths, so that they can be counted.
   */
  readonly canCount: boolean
}

/** Where several schemas may hold at a place, longer strings are checked when they are complete. */
const MOST_WRITTEN_OUT = 200

export function readString(
  schema: SchemaObject,
  place: string,
  rules: JsonRules,
  { reportLate, canCount }: StringParts,
): GrammarExpression {
  const least = (schema['minLength'] ?? 0) as number
  const most = (schema['maxLength'] ?? Infinity) as number
  if (least > most) return NOTHING
  const content = readPattern(schema, place, reportLate)
  if (!content) {
    if (least === 0 && most === Infinity) return rules.string
    if (!findCounted(schema))
      return rules.book.add('text', matchString(matchRepeat(STRING_CHARACTER, least, most)))
    if (canCount) return rules.countedString
    if (most > MOST_WRITTEN_OUT) reportLate(schema, 'maxLength')
    if (least > MOST_WRITTEN_OUT) reportLate(schema, 'minLength')
    const longest = most > MOST_WRITTEN_OUT ? Infinity : most
    const text = matchRepeat(STRING_CHARACTER, Math.min(least, MOST_WRITTEN_OUT), longest)
    return rules.book.add('text', matchString(text))
  }
  const lengths = computeLengths(content)
  if (lengths.least > most || lengths.most < least) return NOTHING
  if (lengths.least < least) reportLate(schema, 'minLength')
  if (lengths.most > most) reportLate(schema, 'maxLength')
  return rules.book.add('text', matchString(escapeForJson(content)))
}
