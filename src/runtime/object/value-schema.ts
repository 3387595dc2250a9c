// Schemas of values, as users pass them: a Standard Schema (zod, Valibot, ArkType …:
// standardschema.dev) or a JSON Schema. Independent of engines.

import { ObjectError, type ObjectIssue, OptionError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import type { SchemaValue } from '../../formats/grammar/grammar-choice.ts'

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly ObjectIssue[] }

/** The part of the Standard Schema interface that is used. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => Checked<Output> | Promise<Checked<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    /** Standard JSON Schema, which some vendors have. */
    readonly jsonSchema?: {
      readonly input: (options: {
        readonly target: 'draft-2020-12'
        readonly libraryOptions?: Record<string, unknown> | undefined
      }) => Record<string, unknown>
    }
  }
}

export type ValueSchema = StandardSchema | SchemaValue

/** The type of a schema's values; unknown for a JSON Schema. */
export type ValueOfSchema<Of> = Of extends {
  readonly '~standard': { readonly types?: { readonly output: infer Output } | undefined }
}
  ? Output
  : unknown

export const isStandardSchema = (schema: unknown): schema is StandardSchema =>
  ((typeof schema === 'object' && schema !== null) || typeof schema === 'function') &&
  '~standard' in schema

/** The JSON Schema of a schema's input. Throws OptionError if its vendor provides none. */
export function toJsonSchema(schema: ValueSchema): SchemaValue {
  if (!isStandardSchema(schema)) {
    if (typeof schema === 'boolean' || isRecord(schema)) return schema
    throw new OptionError(
      `Options of object: schema: got ${describeValue(schema)}, expected a Standard Schema (zod, Valibot, ArkType …) or a JSON Schema.`,
    )
  }
  const { vendor, jsonSchema } = schema['~standard']
  if (!jsonSchema)
    throw new OptionError(
      `Options of object: schema: this version of ${vendor} gives no JSON Schema ('~standard'.jsonSchema); give one as the option jsonSchema (zod before 4.2: z.toJSONSchema(schema)).`,
    )
  try {
    return jsonSchema.input({
      target: 'draft-2020-12',
      // Parts that JSON Schema cannot express are checked on the value, as refinements are.
      ...(vendor === 'zod' && { libraryOptions: { unrepresentable: 'any' } }),
    })
  } catch (error) {
    throw new OptionError(
      `Options of object: schema: ${vendor} gives no JSON Schema for it: ${String(error)}`,
    )
  }
}

/**
 * The value of a JSON text, as the schema's output. Throws ObjectError if the schema rejects it.
 */
export async function readValue<Schema extends ValueSchema>(
  schema: Schema,
  text: string,
): Promise<ValueOfSchema<Schema>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw createObjectError(text, [{ message: `the answer is not JSON: ${String(error)}` }])
  }
  const checked = await checkValue(schema, value)
  if (checked.issues) throw createObjectError(text, checked.issues)
  return checked.value as ValueOfSchema<Schema>
}

async function checkValue(schema: ValueSchema, value: unknown): Promise<Checked<unknown>> {
  if (isStandardSchema(schema)) return schema['~standard'].validate(value)
  const { Validator } = await import('@cfworker/json-schema')
  const validator = new Validator(schema as object, chooseDraft(schema), false)
  const { valid, errors } = validator.validate(value)
  if (valid) return { value }
  return {
    issues: errors.map(({ error, instanceLocation }) => ({
      message: error,
      path: instanceLocation.split('/').slice(1),
    })),
  }
}

/** The draft in $schema; else the newest draft that has the keywords. */
function chooseDraft(schema: SchemaValue): '4' | '7' | '2019-09' | '2020-12' {
  const named = isRecord(schema) ? String(schema['$schema'] ?? '') : ''
  if (named.includes('draft-04')) return '4'
  if (named.includes('draft-06') || named.includes('draft-07')) return '7'
  return named.includes('2019-09') || /"items":\[/.test(JSON.stringify(schema))
    ? '2019-09'
    : '2020-12'
}

/** 'user.mail: must be an address; …' */
const describeIssues = (issues: readonly ObjectIssue[]): string =>
  issues
    .map(({ message, path = [] }) => {
      const at = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
      return at === '' ? message : `${at}: ${message}`
    })
    .join('; ')

const MOST_SHOWN = 200

export function createObjectError(text: string, issues: readonly ObjectIssue[]): ObjectError {
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text
  const problem = describeIssues(issues)
  return new ObjectError(
    `The answer does not fit the schema: ${problem}. It is: ${shown}`,
    text,
    issues,
  )
}
