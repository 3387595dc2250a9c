// <start_function_call>call:f{key:<escape>text<escape>,n:1}<end_function_call>: FunctionGemma, and
// the same with other delimiters: Gemma 4.

import { isRecord, type JsonSchema } from '../../../../base/schema.ts'
import type { StructuralFormat, TagFormat } from '../../../grammar/grammar-choice.ts'
import { parseExactJson } from '../../../../base/exact-number.ts'
import { takeText, MalformedCall, lookAhead, dropSpace } from '../reading/call-input.ts'
import { readDelimited } from '../reading/delimited-value.ts'
import { takeName } from '../reading/json-reader.ts'
import type { ReasoningMarkers, ToolCallFormat } from '../tool-call-format.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'
import { createMembers, nothing, pickDefinitions, resolveReference } from './members-grammar.ts'

interface Delimiters {
  readonly open: string
  readonly close: string
  /** Delimits a string. */
  readonly text: string
  readonly result: { readonly open: string; readonly close: string }
}

/** A value in this notation. */
function formatValue(value: unknown, text: string): string {
  if (typeof value === 'string') return `${text}${value}${text}`
  if (Array.isArray(value)) return `[${value.map((item) => formatValue(item, text)).join(',')}]`
  if (!isPlain(value)) return String(value)
  const members = Object.entries(value)
  return `{${members.map(([key, item]) => `${key}:${formatValue(item, text)}`).join(',')}}`
}

/** An object, and not a number that keeps its text. */
const isPlain = (value: unknown): value is Record<string, unknown> =>
  isRecord(value) && Object.getPrototypeOf(value) === Object.prototype

const asJson = (schema: JsonSchema): StructuralFormat => ({
  type: 'json_schema',
  json_schema: schema,
})

/** Types whose values are as in JSON. */
const plainTypes: readonly unknown[] = ['integer', 'number', 'boolean', 'null']

/** Values within values, as far as they are held to their schemas. */
const MOST_DEPTH = 12

/** A value that fits the schema; if the schema gives no type, a string or a scalar. */
function describeValue(given: JsonSchema, delimiter: string, depth = 0): StructuralFormat {
  const schema = depth < MOST_DEPTH ? resolveReference(given) : {}
  const text: TagFormat = {
    type: 'tag',
    begin: delimiter,
    content: { type: 'any_text' },
    end: delimiter,
  }
  const { type, items } = schema
  const choices = 'const' in schema ? [schema['const']] : schema['enum']
  if (Array.isArray(choices))
    return {
      type: 'or',
      elements: choices.map((choice) => ({
        type: 'const_string',
        value: formatValue(choice, delimiter),
      })),
    }
  if (type === 'string') return text
  if (type === 'object') {
    const content = createMembers(schema, (key, value) => ({
      begin: `${key}:`,
      content: describeValue(value, delimiter, depth + 1),
      end: '',
    }))
    return { type: 'tag', begin: '{', content, end: '}' }
  }
  if (type === 'array') {
    const item = Object.assign({}, isRecord(items) ? items : {}, pickDefinitions(schema))
    const isPlainItem = plainTypes.includes(resolveReference(item)['type'])
    return isPlainItem ? asJson(schema) : describeList(schema, item, delimiter, depth)
  }
  if (plainTypes.includes(type)) return asJson(schema)
  const scalars = ['number', 'boolean', 'null'].map((one) => asJson({ type: one }))
  return { type: 'or', elements: [text, ...scalars] }
}

function describeList(
  { minItems }: JsonSchema,
  items: JsonSchema,
  delimiter: string,
  depth: number,
): StructuralFormat {
  const content = describeValue(items, delimiter, depth + 1)
  const item: TagFormat = { type: 'tag', begin: '', content, end: '' }
  const some: StructuralFormat = { type: 'tags_with_separator', tags: [item], separator: ',' }
  const needsSome = typeof minItems === 'number' && minItems > 0
  const list: StructuralFormat = needsSome ? some : { type: 'or', elements: [some, nothing] }
  return { type: 'tag', begin: '[', content: list, end: ']' }
}

const createFormat = (
  names: Pick<ToolCallFormat, 'name' | 'models'>,
  { open, close, text, result }: Delimiters,
  reasoning: readonly ReasoningMarkers[],
): ToolCallFormat => ({
  ...names,
  isUsedBy: ({ template, hasToken }) => template.includes(open) || hasToken(open),
  reasoning,
  createOpeners: () => [
    {
      marker: open,
      *read(input, sink) {
        yield* dropSpace(input)
        yield* takeText(input, 'call:')
        const name = yield* takeName(input)
        if (name === '') throw new MalformedCall('a call without a name')
        if ((yield* lookAhead(input)) !== '{') throw new MalformedCall('expected an object')
        sink.start(name)
        yield* readDelimited(input, (json) => sink.append(json), text)
        sink.end()
        yield* dropSpace(input)
        yield* takeText(input, close)
      },
    },
  ],
  closers: [close],
  markers: [open, close, text, ...reasoning.flatMap((markers) => [markers.open, markers.close])],
  describeTools: listFunctions,
  formatCalls: (calls) =>
    calls
      .map(
        (call) =>
          `${open}call:${call.name}${formatValue(parseExactJson(call.arguments), text)}${close}`,
      )
      .join(''),
  formatResult: (value, name) =>
    `${result.open}response:${name ?? 'result'}{value:${text}${value}${text}}${result.close}`,
  describeCalls: (tools) => ({
    triggers: [open],
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: `${open}call:${tool.name}`,
      content: describeValue(toArgumentSchema(tool), text),
      end: close,
    })),
    separator: '',
  }),
})

export const functionGemma = createFormat(
  { name: 'function-gemma', models: 'FunctionGemma' },
  {
    open: '<start_function_call>',
    close: '<end_function_call>',
    text: '<escape>',
    result: { open: '<start_function_response>', close: '<end_function_response>' },
  },
  [],
)

export const gemma4 = createFormat(
  { name: 'gemma-4', models: 'Gemma 4' },
  {
    open: '<|tool_call>',
    close: '<tool_call|>',
    text: '<|"|>',
    result: { open: '<|tool_response>', close: '<tool_response|>' },
  },
  [{ open: '<|channel>thought', close: '<channel|>' }],
)
