// From a command line to an exit code: 0 done, 1 failed, 2 wrong usage. Streams, environment and
// clock are arguments, so tests need no process.

import { GraftError, ManifestError } from '../../base/errors.ts'
import { formatCommandLine } from './command-line.ts'
import { hasHelpFlag, hasJsonFlag, parseArguments } from './arguments.ts'
import { type Command, getInvocation, loadOptions, UsageError } from '../command.ts'
import { describeCommand, describeProgram } from './help.ts'
import { findNearestName } from '../../base/suggest.ts'
import { createStyle, type Style } from '../ui/style.ts'
import { createTerminal, getWrapColumns, type OutputStream } from '../ui/terminal.ts'

export interface CliHost {
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  readonly version: string
  /** How this program is started from a shell. */
  readonly graft: string
  /** Milliseconds. */
  readonly now: () => number
  /** What is on this machine, for the screen of the program alone. */
  readonly describeHome?:
    ((style: Style, columns: number | undefined) => Promise<readonly string[]>) | undefined
}

/** Runs one command line; never throws. */
export async function runCli(
  args: readonly string[],
  host: CliHost,
  commands: ReadonlyMap<string, Command>,
): Promise<number> {
  const { stdout, environment } = host
  const { name, rest } = splitName(args, commands)
  const style = createStyle(stdout, environment)
  try {
    if (name === undefined)
      return await printHelp(
        name,
        host,
        style,
        commands,
        await host.describeHome?.(style, getWrapColumns(stdout)),
      )
    if (name === '--help' || name === '-h' || name === 'help')
      return await printHelp(splitName(rest, commands).name, host, style, commands)
    if (name === '--version' || name === '-v') return printLine(stdout, host.version)
    return await runCommand(getCommand(name, commands), rest, host, style)
  } catch (error) {
    return reportError(error, args, host, commands)
  }
}

/** The name of the command, which may have two words: 'serve keys'. */
function splitName(
  args: readonly string[],
  commands: ReadonlyMap<string, Command>,
): { name: string | undefined; rest: readonly string[] } {
  const [first, second] = args
  const both = `${first} ${second}`
  return commands.has(both)
    ? { name: both, rest: args.slice(2) }
    : { name: first, rest: args.slice(1) }
}

function printLine(stream: OutputStream, text: string): number {
  stream.write(`${text}\n`)
  return 0
}

async function printHelp(
  name: string | undefined,
  { stdout, version }: CliHost,
  style: Style,
  commands: ReadonlyMap<string, Command>,
  home: readonly string[] = [],
): Promise<number> {
  const text =
    name === undefined || name.startsWith('-')
      ? describeProgram([...commands.values()], version, style, home, getWrapColumns(stdout))
      : await describeCommand(getCommand(name, commands), style, getWrapColumns(stdout))
  return printLine(stdout, text)
}

function getCommand(name: string, commands: ReadonlyMap<string, Command>): Command {
  const command = commands.get(name)
  if (command) return command
  const meant = findNearestName(name, [...commands.keys()])
  throw new UsageError(
    `there is no command ${JSON.stringify(name)}.${meant ? ` Did you mean graft ${meant}?` : ''} graft --help lists the commands.`,
  )
}

async function runCommand(
  command: Command,
  args: readonly string[],
  { stdout, stderr, environment, signal, version, graft, now }: CliHost,
  style: Style,
): Promise<number> {
  if (hasHelpFlag(args))
    return printLine(stdout, await describeCommand(command, style, getWrapColumns(stdout)))
  const { values, positionals, json, help } = parseArguments(
    command,
    await loadOptions(command),
    args,
  )
  if (help) return printLine(stdout, await describeCommand(command, style, getWrapColumns(stdout)))
  const terminal = createTerminal({ stdout, stderr, environment, json, graft, now })
  let exitCode = 0
  const setExitCode = (code: number): void => void (exitCode = code)
  const result = await command.run({
    values,
    positionals,
    terminal,
    signal,
    version,
    commandLine: formatCommandLine([...getInvocation(command).split(' '), ...args]),
    args,
    environment,
    json,
    setExitCode,
  })
  if (json) stdout.write(`${JSON.stringify(result, null, 2)}\n`)
  return exitCode
}

/**
 * Reports the error on stderr; under --json also as a value on stdout, so that there is always one.
 */
function reportError(
  error: unknown,
  args: readonly string[],
  { stdout, stderr, environment, signal }: CliHost,
  commands: ReadonlyMap<string, Command>,
): number {
  const usage = error instanceof UsageError || error instanceof ManifestError
  const stopped = signal.aborted && error === signal.reason
  const expected = usage || stopped || GraftError.isInstance(error)
  const failure = stopped
    ? new Error('stopped')
    : error instanceof Error
      ? error
      : new Error(String(error))
  const command = commands.get(splitName(args, commands).name ?? '')
  const hint =
    error instanceof UsageError && command
      ? `\nusage: ${getInvocation(command)} --help explains the options, with examples.`
      : ''
  const debug = Boolean(environment['GRAFT_DEBUG'])
  // An unexpected error is a bug of Graft, and the stack belongs in its report.
  const text = debug || !expected ? (failure.stack ?? failure.message) : failure.message + hint
  stderr.write(`graft: ${text}\n`)
  if (debug && failure.cause !== undefined)
    stderr.write(`caused by: ${describeCause(failure.cause)}\n`)
  if (!expected && !debug)
    stderr.write(
      'graft: this is a bug. Please report it with the command you ran and the lines above.\n',
    )
  if (hasJsonFlag(args))
    stdout.write(
      `${JSON.stringify({ error: { name: error instanceof UsageError ? 'UsageError' : failure.name, message: failure.message } }, null, 2)}\n`,
    )
  return usage ? 2 : 1
}

const describeCause = (cause: unknown): string =>
  cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
