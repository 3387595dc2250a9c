// From the arguments of a command line to typed option values, by the fields of the command's
// table. Throws UsageError that names the option and, where there is one, the nearest name.

import { flag } from '../../base/schema.ts'
import { parseArgs } from 'node:util'
import {
  checkValue,
  getInvocation,
  type Command,
  type Options,
  type OptionSpec,
  UsageError,
  type Values,
  toOption,
} from '../command.ts'
import { findNearestName } from '../../base/suggest.ts'

/** What every command understands. */
export const commonOptions = {
  json: flag({ about: 'one JSON value on stdout, progress on stderr' }),
  help: toOption(flag({ about: 'this text' }), { short: 'h' }),
} as const satisfies Options

export interface ParsedArguments {
  readonly values: Values<Options>
  readonly positionals: readonly string[]
  readonly json: boolean
  readonly help: boolean
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number]
type OptionToken = Extract<Token, { kind: 'option' }>

/**
 * Reads the arguments of a command with these options. With --help they are not checked further.
 */
export function parseArguments(
  command: Command,
  options: Options,
  args: readonly string[],
): ParsedArguments {
  const table: Options = { ...options, ...commonOptions }
  const tokens = splitTokens(table, args)
  const given: Record<string, unknown> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const name = getOptionName(token, table, command)
    const value = parseOptionValue(token, table[name]!)
    const before = given[name] as readonly unknown[] | undefined
    given[name] = table[name]!.many ? [...(before ?? []), value] : value
  }
  const positionals = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  const help = given['help'] === true
  if (!help) {
    checkRequired(options, given)
    checkPositionals(command, positionals)
  }
  return {
    values: completeValues(options, given),
    positionals,
    json: given['json'] === true,
    help,
  }
}

function splitTokens(table: Options, args: readonly string[]): readonly Token[] {
  const options = Object.entries(table).map(([name, spec]) => {
    const type = isFlag(spec) ? ('boolean' as const) : ('string' as const)
    return [name, spec.short === undefined ? { type } : { type, short: spec.short }] as const
  })
  return parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(options),
  }).tokens
}

/** Whether the arguments contain --json, for errors that occur before they are parsed. */
export const hasJsonFlag = (args: readonly string[]): boolean =>
  args.slice(0, findOptionsEnd(args)).includes('--json')

/** Whether the arguments contain --help or -h; the others are then ignored. */
export const hasHelpFlag = (args: readonly string[]): boolean =>
  args.slice(0, findOptionsEnd(args)).some((arg) => arg === '--help' || arg === '-h')

const findOptionsEnd = (args: readonly string[]): number =>
  args.includes('--') ? args.indexOf('--') : args.length

function getOptionName({ name, rawName }: OptionToken, table: Options, { usage }: Command): string {
  if (Object.hasOwn(table, name)) return name
  const meant = findNearestName(name, Object.keys(table))
  const hint = usage.includes(`[${name}]`)
    ? ` Write the ${name} without an option: ${usage}.`
    : meant === undefined
      ? ''
      : ` Did you mean --${meant}?`
  throw new UsageError(`there is no option ${rawName}.${hint}`)
}

const isFlag = ({ schema }: OptionSpec): boolean => schema['type'] === 'boolean'
const isNumber = ({ schema }: OptionSpec): boolean =>
  schema['type'] === 'number' || schema['type'] === 'integer'

/** What --help shows for a value: '<rows>'; empty for a flag. */
export function describePlaceholder(spec: OptionSpec): string {
  if (isFlag(spec)) return ''
  return ` <${spec.valueName ?? (isNumber(spec) ? String(spec.schema['type']) : 'text')}>`
}

function parseOptionValue({ rawName, value, inlineValue }: OptionToken, spec: OptionSpec): unknown {
  if (isFlag(spec)) {
    if (value === undefined) return true
    throw new UsageError(`${rawName} takes no value, got ${JSON.stringify(value)}.`)
  }
  const number = toNumber(value)
  const looksLikeOption =
    value?.startsWith('-') && !inlineValue && !(isNumber(spec) && number !== undefined)
  if (value === undefined || looksLikeOption)
    throw new UsageError(`${rawName} needs a value: ${rawName}${describePlaceholder(spec)}.`)
  const parsed = isNumber(spec) ? (number ?? value) : value
  checkValue(spec, parsed, rawName)
  return parsed
}

/** The text as a number; undefined if it is none. */
function toNumber(text: string | undefined): number | undefined {
  const number = text === undefined || text.trim() === '' ? NaN : Number(text)
  return Number.isNaN(number) ? undefined : number
}

function checkRequired(options: Options, given: Readonly<Record<string, unknown>>): void {
  const missing = Object.entries(options).flatMap(([name, { required }]) =>
    required && given[name] === undefined ? [`--${name}`] : [],
  )
  if (missing.length > 0)
    throw new UsageError(`${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing.`)
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const [least, most] = command.positionals
  if (positionals.length < least)
    throw new UsageError(`an argument is missing: ${getInvocation(command)} ${command.usage}`)
  if (positionals.length > most) {
    const hint = command.usage.includes('<prompt>')
      ? '. Put a prompt of several words in quotes.'
      : ''
    throw new UsageError(
      `unexpected argument ${JSON.stringify(positionals[most])}: ${getInvocation(command)} ${command.usage}${hint}`,
    )
  }
}

function completeValues(table: Options, given: Readonly<Record<string, unknown>>): Values<Options> {
  const values = Object.entries(table).map(([name, spec]) => [
    name,
    given[name] ?? (isFlag(spec) ? false : spec.default),
  ])
  return Object.fromEntries(values) as Values<Options>
}
