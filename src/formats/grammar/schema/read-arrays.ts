// Schemas of arrays as expressions: the first items each by its own schema, the rest by one.

import {
  type GrammarExpression,
  isNothing,
  matchOptional,
  matchRepeat,
  matchSequence,
  matchText,
  NOTHING,
} from '../grammar.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import type { ObjectParts } from './read-objects.ts'
import type { SchemaObject } from './schema-document.ts'

/** A higher maxItems is checked when the value is complete. */
const MOST_COUNTED = 1000

export function readArray(
  schema: SchemaObject,
  { rules, reportLate, read }: Pick<ObjectParts, 'rules' | 'reportLate' | 'read'>,
): GrammarExpression {
  const least = (schema['minItems'] ?? 0) as number
  const asked = (schema['maxItems'] ?? Infinity) as number
  const given = asked > MOST_COUNTED && asked < Infinity ? Infinity : asked
  if (given !== asked) reportLate(schema, 'maxItems')
  if (schema['uniqueItems'] === true) reportLate(schema, 'uniqueItems')
  const prefix = ((schema['prefixItems'] ?? []) as readonly SchemaValue[]).map(read)
  const rest = read((schema['items'] ?? true) as SchemaValue)
  // The first place that nothing fits ends the array.
  const end = prefix.findIndex(isNothing)
  const limit = end >= 0 ? end : isNothing(rest) ? prefix.length : Infinity
  const most = Math.min(given, limit)
  if (least > most) return NOTHING
  if (prefix.length === 0) return rules.list('[', ']', rest, least, most)
  const first = prefix.slice(0, most)
  const more = matchRepeat(
    matchSequence(rules.comma, rest),
    Math.max(0, least - prefix.length),
    Math.max(0, most - prefix.length),
  )
  let items = first.length === prefix.length ? more : matchText('')
  for (const [i, item] of [...first.entries()].reverse()) {
    const one = i === 0 ? item : matchSequence(rules.comma, item)
    const started = matchSequence(one, items)
    items = i < least ? started : matchOptional(rules.book.add('items', started))
  }
  return rules.enclose('[', ']', items)
}
