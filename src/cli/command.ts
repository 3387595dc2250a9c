// The contract of a command: one file per command in commands/, one row in commands.ts. Names,
// options and examples are plain data, so that help, usage errors and documentation all come from
// one place. Heavy modules are imported inside `run`, never above it.

import type { Terminal } from './ui/terminal.ts'

export interface OptionSpec {
  readonly type: 'flag' | 'text' | 'number' | 'integer'
  /** One sentence, for --help. */
  readonly about: string
  /** What stands for the value in --help: 'rows'. */
  readonly value?: string
  readonly short?: string
  /** Used where the option is not given. */
  readonly default?: string | number
  readonly choices?: readonly string[]
  /** Smallest number allowed. */
  readonly least?: number
  readonly required?: boolean
  /** Of texts: may be given several times; the value is the list of them. */
  readonly many?: boolean
}

export type Options = Readonly<Record<string, OptionSpec>>

type PlainValue<Spec extends OptionSpec> = Spec['type'] extends 'number' | 'integer'
  ? number
  : string

type ValueOf<Spec extends OptionSpec> = Spec['type'] extends 'flag'
  ? boolean
  : Spec extends { readonly many: true }
    ? readonly string[] | undefined
    : Spec extends { readonly default: string | number } | { readonly required: true }
      ? PlainValue<Spec>
      : PlainValue<Spec> | undefined

/** Option values by the names of the table; flags that were not given are false. */
export type Values<Table extends Options> = { readonly [Name in keyof Table]: ValueOf<Table[Name]> }

export interface Context<Table extends Options = Options> {
  readonly values: Values<Table>
  /** What stands on the command line beside options. */
  readonly positionals: readonly string[]
  readonly terminal: Terminal
  /** Aborted by Ctrl-C; long work ends at the next good moment. */
  readonly signal: AbortSignal
  /** Whether one JSON value is wanted on stdout. */
  readonly json: boolean
  /**
   * For work that ended without an error and yet is not done: what follows in a script should not
   * go on.
   */
  readonly setExitCode: (code: number) => void
}

export interface CommandExample {
  readonly command: string
  readonly about: string
}

export interface Command<Table extends Options = Options> {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** After 'graft <name>': '[folder]'. */
  readonly usage: string
  /** How many words the command takes besides options: [least, most]. */
  readonly positionals: readonly [number, number]
  readonly options: Table
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

/** Wrong usage: shown with a hint to --help, exit code 2. */
export class UsageError extends Error {}
