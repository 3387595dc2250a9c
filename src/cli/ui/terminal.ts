// The output of a command: results go to stdout, progress to stderr; under --json stdout is only
// the JSON value. The streams are arguments, so that tests can read the output. Independent of
// commands.

import { createProgress, type Progress } from './progress.ts'
import { createStyle, type Style } from './style.ts'

/** The part of a stream that is used. */
export interface OutputStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

export interface TerminalOptions {
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly json: boolean
  /** How this program is started from a shell: 'graft', or the longer way from a checkout. */
  readonly graft: string
  /** Milliseconds, for rates and times left. */
  readonly now: () => number
}

export interface Terminal {
  /** A line of the result; silent under --json. */
  print(line?: string): void
  /** A piece of the result, without a line break; silent under --json. */
  write(text: string): void
  /** A line of a report during the work: stdout, or stderr under --json. */
  say(line?: string): void
  /** A warning or hint: always stderr. */
  note(line: string): void
  /** A progress line on stderr: redrawn on a terminal, a line every few seconds elsewhere. */
  progress(label: string, total: number | undefined): Progress
  /** Colours for stdout; the identity where they are not wanted. */
  readonly style: Style
  readonly columns: number
  /** The width to wrap descriptions to; undefined where stdout is no terminal of a known width. */
  readonly wrapColumns: number | undefined
  /** How this program is started, for commands that are shown to be typed. */
  readonly graft: string
  readonly now: () => number
}

/** Where the width is unknown. */
const usualColumns = 80

/** Undefined for a pipe, a file and a terminal that reports no width: nothing is wrapped there. */
export const getWrapColumns = ({ isTTY, columns }: OutputStream): number | undefined =>
  isTTY === true && columns ? columns : undefined

export function createTerminal({
  stdout,
  stderr,
  environment,
  json,
  graft,
  now,
}: TerminalOptions): Terminal {
  const print = (line = ''): void => void (json || stdout.write(`${line}\n`))
  return {
    print,
    write: (text) => void (json || stdout.write(text)),
    say: (line = '') => void (json ? stderr : stdout).write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    progress: (label, total) => createProgress({ stream: stderr, now, label, total }),
    style: createStyle(json ? stderr : stdout, environment),
    // a terminal that does not know its width reports 0
    columns: (json ? stderr.columns : stdout.columns) || usualColumns,
    wrapColumns: getWrapColumns(stdout),
    graft,
    now,
  }
}
