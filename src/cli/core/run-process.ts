// Binds the process (streams, Ctrl-C, exit code) to runCli, for `graft` and for bench/main.ts.

import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Command } from '../command.ts'
import { type CliHost, runCli } from './cli.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }

/**
 * How the program is started in a checkout, where there is no command `graft` and the machine's own
 * Node may be too old; it works from the given folder.
 */
export const describeCheckoutCommand = (checkout: string, folder: string): string =>
  `node ${relative(folder, join(checkout, 'scripts', 'graft.mjs'))}`

/** The first Ctrl-C asks the work to end well; the second ends the process at once. */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController()
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130)
    process.stderr.write('\ngraft: stopping; press Ctrl-C again to end at once\n')
    controller.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return controller.signal
}

/** Runs one command line of these commands and ends the process with its exit code. */
export async function runProcess(
  args: readonly string[],
  commands: ReadonlyMap<string, Command>,
  describeHome?: CliHost['describeHome'],
): Promise<void> {
  // `graft ... | head` closes the pipe early; that is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  const exitCode = await runCli(
    args,
    {
      stdout: process.stdout,
      stderr: process.stderr,
      environment: process.env,
      signal: listenForInterrupts(),
      version: manifest.version,
      graft: import.meta.filename.endsWith('.ts')
        ? describeCheckoutCommand(root, findWorkingFolder())
        : 'graft',
      now: () => performance.now(),
      describeHome,
    },
    commands,
  )
  // Sessions of ONNX Runtime may keep the process alive; all that was written is flushed first.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))
}

/** The folder that the command was typed in; the root where it was removed meanwhile. */
function findWorkingFolder(): string {
  try {
    return process.cwd()
  } catch {
    return root
  }
}
