// Binds the process (streams, Ctrl-C, exit code) to runCli, for `graft` and for bench/main.ts.

import { readFileSync } from 'node:fs'
import type { Command } from '../command.ts'
import { type CliHost, runCli } from './cli.ts'

const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string }

/** The first Ctrl-C asks the work to end well; the second ends the process at once. */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController()
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130)
    process.stderr.write('\ngraft: stopping; Ctrl-C again ends at once\n')
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
      // In a checkout there is no command `graft`, and the machine's own Node may be too old:
      // scripts/setup.mjs starts the right one.
      graft: import.meta.filename.endsWith('.ts')
        ? 'node scripts/setup.mjs src/cli/main.ts'
        : 'graft',
      now: () => performance.now(),
      describeHome,
    },
    commands,
  )
  // Sessions of ONNX Runtime may keep the process alive; all that was written is flushed first.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))
}
