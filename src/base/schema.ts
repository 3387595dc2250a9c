// The one place where options are declared and checked: a table of fields (field.ts) defines their
// values, defaults and purpose. Checks, help texts, manifests and JSON Schemas read the same rows.
// A schema library would double the time that importing the package takes, and MicroLoRA's bundle
// has no room for one.

import { OptionError } from './errors.ts'
import {
  createField,
  describeValue,
  type FieldInfo,
  type Fields,
  type GivenOptions,
  isRecord,
  joinProblems,
  type JsonSchema,
  type OptionValues,
  type ValueOf,
  type WithDefault,
} from './field.ts'
import { findNearestName } from './suggest.ts'

export * from './field.ts'

/** Options within an option: problems bear the path, as in `batch.rows`. */
export function object<Of extends Fields, const Info extends FieldInfo<GivenOptions<Of>> = object>(
  fields: Of,
  info?: Info,
): WithDefault<GivenOptions<Of>, Info> {
  const findProblems = (value: unknown, name: string): string[] =>
    isRecord(value)
      ? findOptionProblems(value, fields, `${name}.`)
      : [`${name}: got ${describeValue(value)}, expected an object`]
  const field = createField<GivenOptions<Of>, Info>(
    'an object',
    describeFields(fields),
    (value) => findProblems(value, '').length === 0,
    info,
  )
  return { ...field, findProblems }
}

/** The table without some of its rows. */
export const withoutOptions = <Of extends Fields, const Name extends string>(
  fields: Of,
  ...names: readonly Name[]
): Omit<Of, Name> =>
  Object.fromEntries(
    Object.entries(fields).filter(([name]) => !names.includes(name as Name)),
  ) as Omit<Of, Name>

/** These options as the JSON Schema of one object. */
export const describeFields = (fields: Fields): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  properties: Object.fromEntries(
    Object.entries(fields).map(([name, { schema, about }]) => [
      name,
      about === undefined ? schema : { ...schema, description: about },
    ]),
  ),
})

/** 'there is no option "epoch". Did you mean "epochs"?' */
export function describeUnknownOption(name: string, names: readonly string[], path = ''): string {
  const meant = findNearestName(name, names)
  const there = names.length > 0 ? `there are ${names.join(', ')}` : 'it has none'
  const hint = meant === undefined ? ` (${there})` : `. Did you mean "${path}${meant}"?`
  return `there is no option "${path}${name}"${hint}`
}

/**
 * Everything that is wrong with options: unknown names and wrong values. An option that is
 * undefined counts as left out.
 */
export function findOptionProblems(
  given: Readonly<Record<string, unknown>>,
  fields: Fields,
  path = '',
): string[] {
  const names = Object.keys(fields)
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(fields, name))
  return [
    ...unknown.map((name) => describeUnknownOption(name, names, path)),
    ...findValueProblems(given, fields, path),
  ]
}

/** What is wrong with the values; names that the table does not have are passed over. */
export const findValueProblems = (
  given: Readonly<Record<string, unknown>>,
  fields: Fields,
  path = '',
): string[] =>
  Object.entries(fields).flatMap(([name, field]) =>
    given[name] === undefined ? [] : field.findProblems(given[name], `${path}${name}`),
  )

/** Whether nothing is wrong with options; takes a fraction of the time that a list takes. */
export function areOptionsRight(given: Readonly<Record<string, unknown>>, fields: Fields): boolean {
  for (const name in given) {
    if (!Object.hasOwn(fields, name)) return false
    const value = given[name]
    if (value !== undefined && !fields[name]!.is(value)) return false
  }
  return true
}

/** Throws one OptionError that names every unknown option and every wrong value. */
export function checkOptions(what: string, given: unknown, fields: Fields): void {
  if (isRecord(given) && areOptionsRight(given, fields)) return
  const problems = isRecord(given)
    ? findOptionProblems(given, fields)
    : [`got ${describeValue(given)}, expected an object`]
  if (problems.length > 0) throw new OptionError(`${what}: ${joinProblems(problems)}`)
}

/** The options with defaults filled in; throws as `checkOptions`. */
export function readOptions<const Of extends Fields>(
  what: string,
  given: unknown,
  fields: Of,
): OptionValues<Of> {
  checkOptions(what, given, fields)
  const values = given as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, values[name] ?? field.default]),
  ) as OptionValues<Of>
}

/** The options that were given, without defaults; throws as `checkOptions`. */
export function readGivenOptions<const Of extends Fields>(
  what: string,
  given: unknown,
  fields: Of,
): GivenOptions<Of> {
  checkOptions(what, given, fields)
  return Object.fromEntries(
    Object.entries(given as object).filter(([, value]) => value !== undefined),
  ) as GivenOptions<Of>
}

/** The options of a table, without those that were left out. */
export function pickOptions<Of extends object, Name extends keyof Of & string>(
  options: Of,
  table: Readonly<Record<Name, unknown>>,
): Pick<Of, Name> {
  const given = Object.entries(options).filter(
    ([name, value]) => Object.hasOwn(table, name) && value !== undefined,
  )
  return Object.fromEntries(given) as Pick<Of, Name>
}

/** The defaults of a table, by name. */
export const listDefaults = <const Of extends Fields>(
  fields: Of,
): {
  readonly [
    Name in keyof Of as Of[Name] extends { readonly default: unknown } ? Name : never
  ]: ValueOf<Of[Name]>
} =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, field]) =>
      field.default === undefined ? [] : [[name, field.default]],
    ),
  ) as never

/**
 * Values of a configuration file and what is wrong with them. Null counts as left out, and other
 * keys are the caller's to judge.
 */
export function readFields<Of extends Fields>(
  given: Readonly<Record<string, unknown>>,
  fields: Of,
): { values: GivenOptions<Of>; problems: string[] } {
  const present = Object.entries(fields).filter(
    ([name]) => given[name] !== null && given[name] !== undefined,
  )
  const problems = present.flatMap(([name, field]) => field.findProblems(given[name], name))
  const values = Object.fromEntries(present.map(([name]) => [name, given[name]]))
  return { values: values as GivenOptions<Of>, problems }
}
