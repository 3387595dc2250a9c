// A field defines the values of one option (as text and as JSON Schema), its default and its
// purpose. schema.ts checks tables of fields.

import { findNearestName } from './suggest.ts'

/** A fragment of JSON Schema. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** One option: what its value must be, its default, and a sentence about it. */
export interface Field<Value = unknown> {
  /** 'an integer ≥ 1' */
  readonly expected: string
  readonly schema: JsonSchema
  /** One sentence; if there is no default, what happens without the option. */
  readonly about?: string
  /** Absent: the option may be left out, and then has no value. */
  readonly default?: Value
  is(value: unknown): value is Value
  /** What is wrong with a value, a line for each part; empty where nothing is. */
  findProblems(value: unknown, name: string): string[]
}

export type ValueOf<Of> = Of extends Field<infer Value> ? Value : never
export type Fields = Readonly<Record<string, Field>>

/** One row for every option of a type: the compiler rejects a missing or misnamed row. */
export type OptionFields<Options> = {
  readonly [Name in keyof Options]-?: Field<Exclude<Options[Name], undefined>>
}

/** Values as they were given: every one may be absent. */
export type GivenOptions<Of extends Fields> = { readonly [Name in keyof Of]?: ValueOf<Of[Name]> }

/** Values with defaults filled in; an option without a default may have none. */
export type OptionValues<Of extends Fields> = {
  readonly [Name in keyof Of]: Of[Name] extends { readonly default: unknown }
    ? ValueOf<Of[Name]>
    : ValueOf<Of[Name]> | undefined
}

/** What every field may have in addition to its type. */
export interface FieldInfo<Value> {
  readonly about?: string
  readonly default?: Value
}

/** Bounds of a number; at most one at each end. */
export interface NumberInfo extends FieldInfo<number> {
  /** Smallest value allowed. */
  readonly from?: number
  /** Values must be above this. */
  readonly above?: number
  /** Largest value allowed; Infinity admits Infinity itself. */
  readonly to?: number
  /** Values must be below this. */
  readonly below?: number
}

export type WithDefault<Value, Info> = Field<Value> &
  (Info extends { readonly default: unknown } ? { readonly default: Value } : unknown)

/** A value as errors show it: JSON, cut after 80 characters. */
export function describeValue(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value)
  if (value instanceof Promise) return 'a promise (is an await missing?)'
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 80 ? `${json.slice(0, 80)}…` : json
}

/** A field from a test function. */
export function createField<Value, const Info extends FieldInfo<Value> = object>(
  expected: string,
  schema: JsonSchema,
  is: (value: unknown) => boolean,
  info?: Info,
): WithDefault<Value, Info> {
  const field: Field<Value> = {
    expected,
    schema,
    ...info,
    is: is as Field<Value>['is'],
    findProblems: (value, name) =>
      is(value) ? [] : [`${name}: got ${describeValue(value)}, expected ${expected}`],
  }
  return field as WithDefault<Value, Info>
}

function describeRange({ from, above, to, below }: NumberInfo): string {
  if (from !== undefined && to === undefined && below === undefined) return `≥ ${from}`
  const start = from !== undefined ? `from ${from}` : above !== undefined ? `above ${above}` : ''
  if (to === Infinity) return `${start}, or Infinity`
  if (to === undefined && below === undefined) return start
  const joint = above === undefined ? 'to' : 'and'
  const end = to === undefined ? `below ${below}` : above === undefined ? to : `at most ${to}`
  return `${start} ${joint} ${end}`.trim()
}

function createNumber<const Info extends NumberInfo>(
  type: 'number' | 'integer',
  info: Info,
): WithDefault<number, Info> {
  const { from = -Infinity, above = -Infinity, to, below = Infinity } = info
  const high = to ?? Infinity
  const isNumber = type === 'integer' ? Number.isSafeInteger : Number.isFinite
  const schema = {
    type,
    ...(info.from !== undefined && { minimum: from }),
    ...(info.above !== undefined && { exclusiveMinimum: above }),
    ...(to !== undefined && to < Infinity && { maximum: to }),
    ...(info.below !== undefined && { exclusiveMaximum: below }),
  }
  return createField<number, Info>(
    [type === 'integer' ? 'an integer' : 'a number', describeRange(info)].join(' ').trim(),
    schema,
    (value) =>
      typeof value === 'number' &&
      value >= from &&
      value <= high &&
      (isNumber(value) || value === to) &&
      (value > above || above === -Infinity) &&
      (value < below || below === Infinity),
    info,
  )
}

export const number = <const Info extends NumberInfo = object>(
  info: Info = {} as Info,
): WithDefault<number, Info> => createNumber('number', info)

export const integer = <const Info extends NumberInfo = object>(
  info: Info = {} as Info,
): WithDefault<number, Info> => createNumber('integer', info)

export const flag = <const Info extends FieldInfo<boolean> = object>(
  info?: Info,
): WithDefault<boolean, Info> =>
  createField(
    'true or false',
    { type: 'boolean' },
    (value) => typeof value === 'boolean',
    info as Info,
  )

/** Any string; `filled`: not the empty one. */
export const string = <const Info extends FieldInfo<string> & { readonly filled?: boolean }>(
  info: Info = {} as Info,
): WithDefault<string, Info> =>
  createField(
    info.filled ? 'a string that is not empty' : 'a string',
    { type: 'string', ...(info.filled && { minLength: 1 }) },
    (value) => typeof value === 'string' && (value !== '' || !info.filled),
    info,
  )

/**
 * One of these values; for a misspelt one the problem suggests the value that was probably meant.
 */
export function oneOf<
  const Value extends string | number | boolean,
  const Info extends FieldInfo<Value> = object,
>(values: readonly Value[], info?: Info): WithDefault<Value, Info> {
  const expected = values.map((value) => JSON.stringify(value)).join(', ')
  const is = (value: unknown): boolean => values.includes(value as Value)
  const field = createField<Value, Info>(expected, { enum: values }, is, info)
  const words = values.filter((value) => typeof value === 'string')
  const findProblems = (value: unknown, name: string): string[] => {
    const meant = typeof value === 'string' ? findNearestName(value, words) : undefined
    const hint = meant === undefined ? '' : `. Did you mean ${JSON.stringify(meant)}?`
    return field.findProblems(value, name).map((problem) => problem + hint)
  }
  return { ...field, findProblems }
}

/** A list of such values; `least`: how many there must be. */
export const listOf = <
  Value,
  const Info extends FieldInfo<readonly Value[]> & { readonly least?: number } = object,
>(
  { expected, schema, is }: Field<Value>,
  info: Info = {} as Info,
): WithDefault<readonly Value[], Info> =>
  createField(
    `a list, each ${expected}${info.least ? `, at least ${info.least}` : ''}`,
    { type: 'array', items: schema, ...(info.least && { minItems: info.least }) },
    (value) => Array.isArray(value) && value.length >= (info.least ?? 0) && value.every(is),
    info,
  )

/** An object whose keys are free. */
export const mapOf = <
  Value,
  const Info extends FieldInfo<Readonly<Record<string, Value>>> = object,
>(
  { expected, schema, is }: Field<Value>,
  info?: Info,
): WithDefault<Readonly<Record<string, Value>>, Info> =>
  createField(
    `an object, each value ${expected}`,
    { type: 'object', additionalProperties: schema },
    (value) => isRecord(value) && Object.values(value).every(is),
    info as Info,
  )

/** One of two kinds of values; problems of an object's own options have their paths. */
export function either<A, B, const Info extends FieldInfo<A | B> = object>(
  a: Field<A>,
  b: Field<B>,
  info?: Info,
): WithDefault<A | B, Info> {
  const is = (value: unknown): boolean => a.is(value) || b.is(value)
  const expected = `${a.expected} or ${b.expected}`
  const field = createField<A | B, Info>(
    expected,
    { anyOf: [a.schema, b.schema] },
    is,
    info as Info,
  )
  const findProblems = (value: unknown, name: string): string[] => {
    const table = [a, b].find((one) => one.expected === 'an object')
    const isWithin = table !== undefined && isRecord(value) && !is(value)
    return (isWithin ? table : field).findProblems(value, name)
  }
  return { ...field, findProblems }
}

/** Any object. */
export const record = createField<Readonly<Record<string, unknown>>>(
  'an object',
  { type: 'object' },
  isRecord,
)

/** A value that code receives whole and checks itself: a model, a callback, a signal, a store. */
export const unchecked = <Value>(expected: string, about = expected): Field<Value> =>
  createField(expected, {}, (value) => value !== null, { about })

/** The same field with another default or sentence. */
export const withInfo = <Value, const Info extends FieldInfo<Value>>(
  field: Field<Value>,
  info: Info,
): WithDefault<Value, Info> => ({ ...field, ...info }) as WithDefault<Value, Info>

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Problems as one text; a question such as 'Did you mean …?' gets no semicolon and no full stop. */
export function joinProblems(problems: readonly string[]): string {
  const joined = problems
    .map((problem) => problem.replace(/\.$/, ''))
    .join('; ')
    .replaceAll('?; ', '? ')
  return joined.endsWith('?') ? joined : `${joined}.`
}

export const positiveInteger = integer({ from: 1 })
export const naturalNumber = integer({ from: 0 })
export const share = number({ from: 0, below: 1 })
