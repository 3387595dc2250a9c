// Checks of values from outside, named by what they expect. A schema library would double the time
// that importing the package takes.

/** A fragment of JSON Schema. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** One kind of value: what it must be, in words and as JSON Schema, and whether something is it. */
export interface Field<Value = unknown> {
  readonly expected: string
  readonly schema: JsonSchema
  is(value: unknown): value is Value
}

type ValueOf<Of> = Of extends Field<infer Value> ? Value : never
export type Fields = Readonly<Record<string, Field>>
/** Every field may be absent. */
export type ValuesOf<Of extends Fields> = { readonly [Name in keyof Of]?: ValueOf<Of[Name]> }

const field = <Value>(
  expected: string,
  schema: JsonSchema,
  is: (value: unknown) => boolean,
): Field<Value> => ({
  expected,
  schema,
  is: (value): value is Value => is(value),
})

export const number = field<number>('a number', { type: 'number' }, Number.isFinite)
const integer = (least: number): Field<number> =>
  field(
    `a whole number ≥ ${least}`,
    { type: 'integer', minimum: least },
    (value) => Number.isSafeInteger(value) && (value as number) >= least,
  )

export const positiveInteger = integer(1)
export const naturalNumber = integer(0)
export const share = field<number>(
  'a number from 0 to below 1',
  { type: 'number', minimum: 0, exclusiveMaximum: 1 },
  (value) => typeof value === 'number' && value >= 0 && value < 1,
)
export const flag = field<boolean>(
  'true or false',
  { type: 'boolean' },
  (value) => typeof value === 'boolean',
)
export const text = field<string>(
  'a text',
  { type: 'string' },
  (value) => typeof value === 'string',
)

export const oneOf = <const Value extends string | boolean>(
  ...values: readonly Value[]
): Field<Value> =>
  field(values.map((value) => JSON.stringify(value)).join(', '), { enum: values }, (value) =>
    values.includes(value as Value),
  )

export const listOf = <Value>({ expected, schema, is }: Field<Value>): Field<readonly Value[]> =>
  field(
    `a list, each ${expected}`,
    { type: 'array', items: schema },
    (value) => Array.isArray(value) && value.every(is),
  )

export const mapOf = <Value>({
  expected,
  schema,
  is,
}: Field<Value>): Field<Readonly<Record<string, Value>>> =>
  field(
    `an object, each value ${expected}`,
    { type: 'object', additionalProperties: schema },
    (value) => isRecord(value) && Object.values(value).every(is),
  )

export const either = <A, B>(a: Field<A>, b: Field<B>): Field<A | B> =>
  field(
    `${a.expected} or ${b.expected}`,
    { anyOf: [a.schema, b.schema] },
    (value) => a.is(value) || b.is(value),
  )

export const record = field<Readonly<Record<string, unknown>>>(
  'an object',
  { type: 'object' },
  isRecord,
)

/** The table without some of its rows. */
export const withoutOptions = (fields: Fields, ...names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value as errors show it: JSON, cut after 80 characters. */
export function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 80 ? `${json.slice(0, 80)}…` : json
}

/** The fields' values, null and undefined left out, and what is wrong with them. */
export function readFields<Of extends Fields>(
  given: Readonly<Record<string, unknown>>,
  fields: Of,
): { values: ValuesOf<Of>; problems: string[] } {
  const present = Object.entries(fields).filter(
    ([name]) => given[name] !== null && given[name] !== undefined,
  )
  const problems = present.flatMap(([name, { expected, is }]) =>
    is(given[name]) ? [] : [`${name}: got ${shown(given[name])}, expected ${expected}`],
  )
  return {
    values: Object.fromEntries(present.map(([name]) => [name, given[name]])) as ValuesOf<Of>,
    problems,
  }
}
