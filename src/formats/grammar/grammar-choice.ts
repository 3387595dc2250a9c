// What can constrain a text: the value in requests, and its first check. The readers in this folder
// check the parts. Independent of tokenizers and of the library that computes masks.

import { createField, describeValue, isRecord } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'

/** A JSON Schema: true admits everything, false nothing. */
export type SchemaValue = boolean | Readonly<Record<string, unknown>>

/**
 * A grammar for the whole answer.
 * - 'json': a JSON object of any content.
 * - 'json-schema': JSON that fits a schema. `whitespace`: 'free' (the default) admits one space, or
 *   one line break with spaces behind it, between JSON's signs; 'none' admits nothing there.
 * - 'regex': the whole text matches the pattern, in ECMAScript's notation.
 * - 'ebnf': rules in the notation that llama.cpp (GBNF) and XGrammar share; `root` names the first
 *   one, 'root' by default.
 * - 'structural': free text with parts that have their own grammars, such as tool calls.
 */
export type GrammarChoice =
  | { readonly type: 'json' }
  | {
      readonly type: 'json-schema'
      readonly schema: SchemaValue
      readonly whitespace?: 'free' | 'none' | undefined
    }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'ebnf'; readonly text: string; readonly root?: string | undefined }
  | { readonly type: 'structural'; readonly format: StructuralFormat }

/** A begin, something between, an end. `content` may be free text: it runs up to the end. */
export interface TagFormat {
  readonly type: 'tag'
  readonly begin: string
  readonly content: StructuralFormat
  readonly end: string
}

/**
 * The parts of a structural grammar, in the words of XGrammar's structural tags, which vLLM and
 * SGLang accept as well:
 * - `triggered_tags`: free text; after a trigger, one of the tags whose begin starts with
 *   the trigger follows.
 * - `tags_with_separator`: tags one after the other, the separator between them, no free text.
 */
export type StructuralFormat =
  | { readonly type: 'const_string'; readonly value: string }
  | { readonly type: 'any_text' }
  | { readonly type: 'json_schema'; readonly json_schema: SchemaValue }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'grammar'; readonly grammar: string }
  | { readonly type: 'sequence'; readonly elements: readonly StructuralFormat[] }
  | { readonly type: 'or'; readonly elements: readonly StructuralFormat[] }
  | TagFormat
  | {
      readonly type: 'triggered_tags'
      readonly triggers: readonly string[]
      readonly tags: readonly TagFormat[]
      readonly at_least_one?: boolean | undefined
      readonly stop_after_first?: boolean | undefined
    }
  | {
      readonly type: 'tags_with_separator'
      readonly tags: readonly TagFormat[]
      readonly separator: string
      readonly at_least_one?: boolean | undefined
      readonly stop_after_first?: boolean | undefined
    }

const isSchema = (value: unknown): boolean => typeof value === 'boolean' || isRecord(value)
const isString = (value: unknown): boolean => typeof value === 'string'

interface ChoiceKey {
  readonly expected: string
  readonly is: (value: unknown) => boolean
  readonly optional?: boolean
}

const keysOf: Readonly<Record<GrammarChoice['type'], Readonly<Record<string, ChoiceKey>>>> = {
  json: {},
  'json-schema': {
    schema: { expected: 'a JSON Schema: an object, true or false', is: isSchema },
    whitespace: {
      expected: '"free" or "none"',
      is: (value) => value === 'free' || value === 'none',
      optional: true,
    },
  },
  regex: { pattern: { expected: 'a string', is: isString } },
  ebnf: {
    text: { expected: 'a string', is: isString },
    root: { expected: 'a string', is: isString, optional: true },
  },
  structural: { format: { expected: 'an object with a type', is: isRecord } },
}

/** What is wrong with the outer keys of a choice. */
export function findChoiceProblems(value: unknown, name: string): string[] {
  if (!isRecord(value))
    return [`${name}: got ${describeValue(value)}, expected an object with a type`]
  const { type, ...rest } = value
  const keys = isString(type) ? keysOf[type as GrammarChoice['type']] : undefined
  if (!keys || !Object.hasOwn(keysOf, type as string)) {
    const types = Object.keys(keysOf)
    const meant = isString(type) ? findNearestName(type as string, types) : undefined
    const hint = meant === undefined ? '' : `. Did you mean "${meant}"?`
    return [`${name}.type: got ${describeValue(type)}, expected ${types.join(', ')}${hint}`]
  }
  const unknown = Object.keys(rest).filter((key) => !Object.hasOwn(keys, key))
  return [
    ...unknown.map((key) => `${name}.${key}: a grammar of type ${type} has no such key`),
    ...Object.entries(keys).flatMap(([key, { expected, is, optional }]) =>
      is(rest[key]) || (optional && rest[key] === undefined)
        ? []
        : [`${name}.${key}: got ${describeValue(rest[key])}, expected ${expected}`],
    ),
  ]
}

const field = createField<GrammarChoice>(
  'a grammar: an object with a type',
  { type: 'object' },
  (value) => findChoiceProblems(value, '').length === 0,
)

/** The option `grammar`. */
export const grammarField = { ...field, findProblems: findChoiceProblems }
