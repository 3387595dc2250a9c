// Checks of values from outside, named by what they expect. A schema library would double the time that importing the package takes.

/** One kind of value: what it must be, in words, and whether something is it. */
export interface Field<Value = unknown> {
  readonly expected: string
  is(value: unknown): value is Value
}

type ValueOf<Of> = Of extends Field<infer Value> ? Value : never
export type Fields = Readonly<Record<string, Field>>
/** Every field may be absent. */
export type ValuesOf<Of extends Fields> = { readonly [Name in keyof Of]?: ValueOf<Of[Name]> }

const field = <Value>(expected: string, is: (value: unknown) => boolean): Field<Value> => ({
  expected,
  is: (value): value is Value => is(value),
})

export const number = field<number>('a number', Number.isFinite)
export const positiveInteger = field<number>('a whole number ≥ 1', (value) => Number.isSafeInteger(value) && (value as number) >= 1)
export const naturalNumber = field<number>('a whole number ≥ 0', (value) => Number.isSafeInteger(value) && (value as number) >= 0)
export const share = field<number>('a number from 0 to below 1', (value) => typeof value === 'number' && value >= 0 && value < 1)
export const flag = field<boolean>('true or false', (value) => typeof value === 'boolean')
export const text = field<string>('a text', (value) => typeof value === 'string')

export const oneOf = <const Value extends string | boolean>(...values: readonly Value[]): Field<Value> =>
  field(values.map((value) => JSON.stringify(value)).join(', '), (value) => values.includes(value as Value))

export const listOf = <Value>({ expected, is }: Field<Value>): Field<readonly Value[]> =>
  field(`a list, each ${expected}`, (value) => Array.isArray(value) && value.every(is))

export const mapOf = <Value>({ expected, is }: Field<Value>): Field<Readonly<Record<string, Value>>> =>
  field(`an object, each value ${expected}`, (value) => isRecord(value) && Object.values(value).every(is))

export const either = <A, B>(a: Field<A>, b: Field<B>): Field<A | B> =>
  field(`${a.expected} or ${b.expected}`, (value) => a.is(value) || b.is(value))

export const record = field<Readonly<Record<string, unknown>>>('an object', isRecord)

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
  const present = Object.entries(fields).filter(([name]) => given[name] !== null && given[name] !== undefined)
  const problems = present.flatMap(([name, { expected, is }]) =>
    is(given[name]) ? [] : [`${name}: got ${shown(given[name])}, expected ${expected}`],
  )
  return { values: Object.fromEntries(present.map(([name]) => [name, given[name]])) as ValuesOf<Of>, problems }
}
