// The form that an answer must have, from the clients' fields: OpenAI's response_format, vLLM's
// structured_outputs, llama.cpp's grammar and json_schema. One of them at most.

import {
  createField,
  describeValue,
  isRecord,
  listOf,
  oneOf,
  string,
  withInfo,
} from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import type { GrammarChoice, SchemaValue } from '../../../formats/grammar/grammar-choice.ts'
import { RequestError } from '../../request-error.ts'

type GivenRecord = Readonly<Record<string, unknown>>

const isSchema = (value: unknown): value is SchemaValue =>
  typeof value === 'boolean' || isRecord(value)

const schemaField = createField<SchemaValue>(
  'a JSON Schema',
  { type: ['object', 'boolean'] },
  isSchema,
)

const formatTypes = ['text', 'json_object', 'json_schema', 'regex', 'grammar', 'structural_tag']

export const grammarFields = {
  response_format: createField<GivenRecord>(
    'an object with a type',
    {
      type: 'object',
      properties: {
        type: { enum: formatTypes },
        json_schema: {
          type: 'object',
          properties: { name: { type: 'string' }, schema: schemaField.schema },
          required: ['schema'],
        },
      },
      required: ['type'],
    },
    (value) => isRecord(value) && typeof value['type'] === 'string',
    { about: 'text, json_object, or json_schema with a schema' },
  ),
  structured_outputs: createField<GivenRecord>(
    'an object with one of json, regex, choice, grammar, json_object',
    { type: 'object' },
    isRecord,
    { about: "vLLM's form of the same: json, regex, choice, grammar or json_object" },
  ),
  grammar: string({ filled: true, about: "a grammar in llama.cpp's notation" }),
}

/** llama.cpp's own route has a schema as its own field. */
export const jsonSchemaField = withInfo(schemaField, { about: 'a JSON Schema of the answer' })

const refuse = (param: string, message: string): never => {
  throw new RequestError(`${param}: ${message}`, { param, code: 'invalid_value' })
}

/** Throws RequestError for an invalid form, and for two at once. */
export function readGrammar(body: {
  readonly response_format?: GivenRecord
  readonly structured_outputs?: GivenRecord
  readonly grammar?: string
  readonly json_schema?: SchemaValue
}): GrammarChoice | undefined {
  const found = Object.entries({
    response_format: body.response_format && readFormat(body.response_format),
    structured_outputs: body.structured_outputs && readOutputs(body.structured_outputs),
    grammar: body.grammar && ({ type: 'ebnf', text: body.grammar } as const),
    json_schema: body.json_schema !== undefined && toSchemaChoice(body.json_schema),
  }).filter((entry): entry is [string, GrammarChoice] => Boolean(entry[1]))
  if (found.length > 1)
    refuse(
      found[1]![0],
      `${found[0]![0]} already determines the form of the answer; give one of them.`,
    )
  return found[0]?.[1]
}

const toSchemaChoice = (schema: SchemaValue): GrammarChoice => ({ type: 'json-schema', schema })

function readFormat(format: GivenRecord): GrammarChoice | undefined {
  const { type } = format
  switch (type) {
    case 'text':
      return undefined
    case 'json_object':
      return format['schema'] === undefined
        ? { type: 'json' }
        : readSchema(format['schema'], 'response_format.schema')
    case 'json_schema': {
      // llama.cpp's clients put the schema next to the type
      const wrapped = isRecord(format['json_schema']) ? format['json_schema']['schema'] : undefined
      return readSchema(wrapped ?? format['schema'], 'response_format.json_schema.schema')
    }
    case 'regex':
      return readPattern(format['pattern'] ?? format['regex'], 'response_format.pattern')
    case 'grammar':
      return readRules(format['grammar'], 'response_format.grammar')
    case 'structural_tag':
      return refuse('response_format.type', 'structural tags are made from tools; give tools.')
    default: {
      const meant = typeof type === 'string' ? findNearestName(type, formatTypes) : undefined
      const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
      return refuse(
        'response_format.type',
        `got ${describeValue(type)}, expected text, json_object or json_schema.${hint}`,
      )
    }
  }
}

function readOutputs(outputs: GivenRecord): GrammarChoice | undefined {
  const given = Object.entries(outputs).filter(([, value]) => value !== null)
  if (given.length !== 1)
    return refuse(
      'structured_outputs',
      `got ${given.length} entries, expected one of json, regex, choice, grammar, json_object.`,
    )
  const [name, value] = given[0]!
  const param = `structured_outputs.${name.slice(0, 40)}`
  if (name === 'json') return readSchema(parseIfText(value, param), param)
  if (name === 'regex') return readPattern(value, param)
  if (name === 'grammar') return readRules(value, param)
  if (name === 'json_object' && oneOf([true]).is(value)) return { type: 'json' }
  if (name === 'choice') {
    const texts = listOf(string(), { least: 1 })
    if (!texts.is(value))
      return refuse(param, `got ${describeValue(value)}, expected ${texts.expected}.`)
    return { type: 'regex', pattern: `(?:${value.map(escapePattern).join('|')})` }
  }
  return refuse(param, 'expected one of json, regex, choice, grammar, json_object.')
}

function parseIfText(value: unknown, param: string): unknown {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    return refuse(param, 'is a string that is not valid JSON.')
  }
}

const readSchema = (schema: unknown, param: string): GrammarChoice =>
  isSchema(schema)
    ? toSchemaChoice(schema)
    : refuse(param, `got ${describeValue(schema)}, expected a JSON Schema.`)

const readPattern = (pattern: unknown, param: string): GrammarChoice =>
  typeof pattern === 'string' && pattern !== ''
    ? { type: 'regex', pattern }
    : refuse(param, `got ${describeValue(pattern)}, expected a regular expression.`)

const readRules = (text: unknown, param: string): GrammarChoice =>
  typeof text === 'string' && text !== ''
    ? { type: 'ebnf', text }
    : refuse(param, `got ${describeValue(text)}, expected a grammar.`)

const escapePattern = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
