// From the words of a command line to typed option values. Throws UsageError that names the option
// and, where there is one, the nearest name.

import { parseArgs } from 'node:util'
import { type Command, type Options, type OptionSpec, UsageError, type Values } from '../command.ts'
import { findNearestName } from '../../base/suggest.ts'

/** What every command understands. */
export const commonOptions = {
  json: { type: 'flag', about: 'one JSON value on stdout, progress on stderr' },
  help: { type: 'flag', short: 'h', about: 'this text' },
} as const satisfies Options

export interface ParsedArguments {
  readonly values: Values<Options>
  readonly positionals: readonly string[]
  readonly json: boolean
  readonly help: boolean
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number]
type Given = string | number | boolean | readonly string[]
type OptionToken = Extract<Token, { kind: 'option' }>

/** Reads a command's arguments. With --help nothing else is asked of them. */
export function parseArguments(command: Command, args: readonly string[]): ParsedArguments {
  const table: Options = { ...command.options, ...commonOptions }
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(
      Object.entries(table).map(
        ([name, { type, short }]) =>
          [
            name,
            { type: type === 'flag' ? 'boolean' : 'string', ...(short && { short }) },
          ] as const,
      ),
    ),
  })
  const given: Record<string, Given> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const name = getOptionName(token, table)
    const value = parseOptionValue(token, table[name]!)
    const before = given[name]
    given[name] = table[name]!.many
      ? [...(Array.isArray(before) ? (before as string[]) : []), String(value)]
      : value
  }
  const positionals = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  const help = given['help'] === true
  if (!help) checkPresence(command, given, positionals)
  return {
    values: completeValues(command.options, given),
    positionals,
    json: given['json'] === true,
    help,
  }
}

/** Whether --json stands among the arguments, for errors that come up before they can be read. */
export const hasJsonFlag = (args: readonly string[]): boolean =>
  args.slice(0, findOptionsEnd(args)).includes('--json')

const findOptionsEnd = (args: readonly string[]): number =>
  args.includes('--') ? args.indexOf('--') : args.length

function getOptionName({ name, rawName }: OptionToken, table: Options): string {
  if (Object.hasOwn(table, name)) return name
  const meant = findNearestName(name, Object.keys(table))
  throw new UsageError(
    `there is no option ${rawName}.${meant === undefined ? '' : ` Did you mean --${meant}?`}`,
  )
}

function parseOptionValue(
  { rawName, value, inlineValue }: OptionToken,
  spec: OptionSpec,
): string | number | boolean {
  if (spec.type === 'flag') {
    if (value !== undefined)
      throw new UsageError(`${rawName} takes no value, got ${JSON.stringify(value)}.`)
    return true
  }
  const isNumber = spec.type !== 'text'
  const looksLikeOption =
    value?.startsWith('-') && !inlineValue && !(isNumber && Number.isFinite(Number(value)))
  if (value === undefined || looksLikeOption)
    throw new UsageError(`${rawName} wants a value: ${rawName} <${spec.value ?? spec.type}>.`)
  if (spec.choices && !spec.choices.includes(value)) {
    const meant = findNearestName(value, spec.choices)
    throw new UsageError(
      `${rawName} is ${JSON.stringify(value)}; it may be ${spec.choices.join(', ')}.${meant ? ` Did you mean ${meant}?` : ''}`,
    )
  }
  return isNumber ? parseNumber(rawName, value, spec) : value
}

function parseNumber(
  rawName: string,
  text: string,
  { type, least = -Infinity }: OptionSpec,
): number {
  const number = text.trim() === '' ? NaN : Number(text)
  const right =
    Number.isFinite(number) && number >= least && (type === 'number' || Number.isInteger(number))
  if (right) return number
  const wanted = `a ${type === 'integer' ? 'whole ' : ''}number${least === -Infinity ? '' : ` from ${least}`}`
  throw new UsageError(`${rawName} wants ${wanted}, got ${JSON.stringify(text)}.`)
}

function checkPresence(
  command: Command,
  given: Readonly<Record<string, unknown>>,
  words: readonly string[],
): void {
  const missing = Object.entries(command.options).flatMap(([name, { required }]) =>
    required && given[name] === undefined ? [`--${name}`] : [],
  )
  if (missing.length > 0)
    throw new UsageError(`${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing.`)
  const [least, most] = command.positionals
  if (words.length < least)
    throw new UsageError(`something is missing: graft ${command.name} ${command.usage}`)
  if (words.length > most)
    throw new UsageError(
      `${JSON.stringify(words[most])} is one word too many: graft ${command.name} ${command.usage}`,
    )
}

function completeValues(table: Options, given: Readonly<Record<string, Given>>): Values<Options> {
  const values = Object.entries(table).map(([name, spec]) => [
    name,
    given[name] ?? (spec.type === 'flag' ? false : spec.default),
  ])
  return Object.fromEntries(values) as Values<Options>
}
