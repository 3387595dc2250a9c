// Starts the command line as users do, in a separate process, and collects its output.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './sources.ts'

export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly cwd?: string
  readonly input?: string
  readonly environment?: Readonly<Record<string, string>>
  /** Called with the process as soon as it runs, for sending signals. */
  readonly onStart?: (child: ChildProcess) => void
}

const main = join(root, 'src', 'cli', 'main.ts')

/** Runs `graft <args>`; resolves when it has ended, whatever its exit code. */
export function graft(
  args: readonly string[],
  { cwd, input = '', environment = {}, onStart }: CliOptions = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: cwd ?? root,
      env: { ...process.env, NO_COLOR: '1', ...environment },
    })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }),
    )
    child.stdin.on('error', () => undefined) // it may end without reading what it was given
    child.stdin.end(input)
    onStart?.(child)
  })
}

/** As `graft`; throws with what was said on stderr where the exit code is not 0. */
export async function succeed(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const result = await graft(args, options)
  if (result.code === 0) return result
  throw new Error(
    `graft ${args.join(' ')} ended with ${result.code ?? result.signal}:\n${result.stderr}`,
  )
}

/**
 * Runs `graft <args>` in this process, which saves the start of one: for tables of many commands.
 */
export async function graftHere(args: readonly string[]): Promise<CliResult> {
  const [{ runCli }, { commands }] = await Promise.all([
    import('../../src/cli/core/cli.ts'),
    import('../../src/cli/command-table.ts'),
  ])
  const written = { stdout: '', stderr: '' }
  const streamTo = (name: keyof typeof written) => ({
    isTTY: false,
    write: (text: string) => {
      written[name] += text
      return true
    },
  })
  const code = await runCli(
    args,
    {
      stdout: streamTo('stdout'),
      stderr: streamTo('stderr'),
      environment: { ...process.env, NO_COLOR: '1' },
      signal: new AbortController().signal,
      version: '0',
      graft: 'graft',
      now: () => performance.now(),
    },
    commands,
  )
  return { code, signal: null, ...written }
}

/** A folder that is there for one test file; call `remove` after all tests. */
export function scratchFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'graft-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Rows that the embedded model learns in a few steps. */
export const storyRows: readonly { prompt: string; completion: string }[] = [
  'Lily',
  'Tom',
  'Sue',
  'Ben',
  'Mia',
  'Sam',
  'Amy',
  'Max',
].flatMap((name) =>
  ['dog', 'cat', 'ball'].map((thing) => ({
    prompt: `${name}, ${thing}.`,
    completion: ` ${name} saw a ${thing}. The end.`,
  })),
)

export const jsonl = (rows: readonly object[]): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join('')
