// The contract of a command: one file per command in commands/, one row in command-table.ts. Names,
// options and examples are plain data, so that help, usage errors and documentation all come from
// one place. Heavy modules are imported inside `run`, never above it.

import type { Field } from '../base/schema.ts'
import type { Terminal } from './ui/terminal.ts'

/** What only a command line needs to know of an option. */
export interface OptionInfo {
  /** The placeholder for the value in --help: 'rows'. */
  readonly valueName?: string
  readonly short?: string
  readonly required?: boolean
  /** Of strings: may be given several times; the value is the list of them. */
  readonly many?: boolean
  /** The heading that --help shows it under, after the options without one. */
  readonly group?: string
}

/** An option: a field, whose sentence is shown by --help, and how it is typed. */
export type OptionSpec = Field & OptionInfo
export type Options = Readonly<Record<string, OptionSpec>>

/** A field as an option of a command line. */
export const toOption = <Of extends Field, const Info extends OptionInfo>(
  field: Of,
  info: Info,
): Of & Info => ({ ...field, ...info })

/** The options of a table under one heading of --help. */
export const toGroup = <Table extends Options>(group: string, table: Table): Table =>
  Object.fromEntries(
    Object.entries(table).map(([name, spec]) => [name, toOption(spec, { group })]),
  ) as Table

/** The same field with another sentence. */
export const withAbout = <Of extends Field>(field: Of, about: string): Of => ({ ...field, about })

/**
 * The same field without its default, which its sentence names: for values that code must not see
 * unless they were typed.
 */
export function withoutDefault<Value>(field: Field<Value>): Field<Value> {
  const { default: usual, about = '', ...rest } = field
  return { ...rest, about: usual === undefined ? about : `${about} (default: ${String(usual)})` }
}

type OptionValue<Spec> =
  Spec extends Field<infer Value>
    ? Spec extends { readonly many: true }
      ? readonly Value[] | undefined
      : Value extends boolean
        ? boolean
        : Spec extends { readonly default: unknown } | { readonly required: true }
          ? Value
          : Value | undefined
    : never

/** Option values by the names of the table; flags that were not given are false. */
export type Values<Table extends Options> = {
  readonly [Name in keyof Table]: OptionValue<Table[Name]>
}

export interface Context<Table extends Options = Options> {
  readonly values: Values<Table>
  /** The positional arguments. */
  readonly positionals: readonly string[]
  readonly terminal: Terminal
  /** Aborted by Ctrl-C; long work ends at the next good moment. */
  readonly signal: AbortSignal
  /** Of the program. */
  readonly version: string
  /** The command as it was typed. */
  readonly commandLine: string
  /** The same without the program and the command's name, in parts. */
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Whether one JSON value is wanted on stdout. */
  readonly json: boolean
  /**
   * For work that ended without an error and yet is not done, so that a script stops there.
   */
  readonly setExitCode: (code: number) => void
}

export interface CommandExample {
  readonly command: string
  readonly about: string
}

export interface Command<Table extends Options = Options> {
  readonly name: string
  /** How the command is typed; 'graft <name>' by default. */
  readonly invocation?: string
  /** One line for the list of commands. */
  readonly summary: string
  /** After the invocation: '[folder]'. */
  readonly usage: string
  /** How many positional arguments the command takes: [least, most]. */
  readonly positionals: readonly [number, number]
  /** The table of options; a function where it is made from heavy modules. */
  readonly options: Table | (() => Promise<Table>)
  /** The same as --help shows it, without checks of values, where the table takes heavy modules. */
  readonly helpOptions?: () => Promise<Options>
  readonly examples: readonly CommandExample[]
  /** Lines that --help shows below: tables that take heavy modules to make. */
  more?(): Promise<readonly string[]>
  /** Does the work; what it returns is printed as JSON under --json. */
  run(context: Context<Table>): Promise<unknown>
}

/**
 * Types `run` by the option table. Values are checked against that table before `run` sees them, so
 * the exact type may be forgotten here.
 */
export const defineCommand = <const Table extends Options>(command: Command<Table>): Command =>
  command as unknown as Command

/** 'graft train': how a command is typed. */
export const getInvocation = ({ name, invocation }: Command): string =>
  invocation ?? `graft ${name}`

export const loadOptions = async ({ options }: Command): Promise<Options> =>
  typeof options === 'function' ? options() : options

/** Throws UsageError if a value does not match the field. */
export function checkValue(field: Field, value: unknown, name: string): void {
  const problems = field.findProblems(value, name)
  if (problems.length > 0) throw new UsageError(problems.join('; '))
}

/** Wrong usage: shown with a hint to --help, exit code 2. */
export class UsageError extends Error {}
