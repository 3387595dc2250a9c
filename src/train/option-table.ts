// Options as data: names, types, ranges, defaults and a sentence each. Checking, help and a JSON
// Schema are read from the same table.

import { OptionError } from '../base/errors.ts'

export interface TrainOptionSpec {
  readonly type: 'number' | 'integer' | 'boolean' | 'text'
  /** One sentence; where there is no default, what holds without the option. */
  readonly about: string
  /** Absent: the option may be left out, and then has no value. */
  readonly default?: number | boolean | string
  /** Smallest value allowed. */
  readonly least?: number
  /** Values must be above this. */
  readonly above?: number
  /** Largest value allowed. */
  readonly most?: number
  /** Values must be below this. */
  readonly below?: number
  /** The words that a text may be. */
  readonly choices?: readonly string[]
}

export type OptionTable = Readonly<Record<string, TrainOptionSpec>>

interface Values {
  readonly number: number
  readonly integer: number
  readonly boolean: boolean
  readonly text: string
}

/** Values by the names of a table; an option without a default may have none. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends {
    readonly default: number | boolean | string
  }
    ? Values[Table[Name]['type']]
    : Values[Table[Name]['type']] | undefined
}

/** 'a whole number from 1', 'a number from 0 to below 1' */
export function expectedValue({
  type,
  least,
  above,
  most,
  below,
  choices,
}: TrainOptionSpec): string {
  if (type === 'boolean') return 'true or false'
  if (type === 'text') return choices ? `one of ${choices.join(', ')}` : 'a text'
  const to = above === undefined ? ['to', 'to below'] : ['and at most', 'and below']
  const end =
    most !== undefined ? `${to[0]} ${most}` : below !== undefined ? `${to[1]} ${below}` : ''
  const start = least !== undefined ? `from ${least}` : above !== undefined ? `above ${above}` : ''
  return [type === 'integer' ? 'a whole number' : 'a number', start, end]
    .filter((part) => part !== '')
    .join(' ')
}

function fits(value: unknown, spec: TrainOptionSpec): boolean {
  if (spec.type === 'boolean') return typeof value === 'boolean'
  if (spec.type === 'text')
    return typeof value === 'string' && (spec.choices?.includes(value) ?? true)
  const { least = -Infinity, above = -Infinity, most = Infinity, below = Infinity } = spec
  if (typeof value !== 'number' || !Number.isFinite(value)) return false
  if (spec.type === 'integer' && !Number.isSafeInteger(value)) return false
  return value >= least && (value > above || above === -Infinity) && value <= most && value < below
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? JSON.stringify(value) : String(value)

/**
 * What is wrong with options that were given, one sentence each; options that the table does not
 * name are passed over.
 */
export const valueProblems = (
  table: OptionTable,
  options: Readonly<Record<string, unknown>>,
): string[] =>
  Object.entries(table).flatMap(([name, spec]) => {
    const value = options[name]
    return value === undefined || fits(value, spec)
      ? []
      : [`${name} must be ${expectedValue(spec)}, got ${shown(value)}`]
  })

/**
 * Values with defaults filled in. Throws one OptionError that names every unknown option and every
 * value which is not allowed.
 */
export function readOptions<const Table extends OptionTable>(
  what: string,
  options: Readonly<Record<string, unknown>>,
  table: Table,
): OptionValues<Table> {
  const names = Object.keys(table)
  const there = names.length > 0 ? `there are ${names.join(', ')}` : 'it has none'
  const unknown = Object.keys(options).flatMap((name) =>
    names.includes(name) ? [] : [`there is no option "${name}" (${there})`],
  )
  const problems = [...unknown, ...valueProblems(table, options)]
  if (problems.length > 0) throw new OptionError(`${what}: ${problems.join('; ')}.`)
  return Object.fromEntries(
    names.map((name) => [name, options[name] ?? table[name]!.default]),
  ) as OptionValues<Table>
}
