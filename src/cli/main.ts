#!/usr/bin/env node
// The command `graft`: binds the process (arguments, streams, Ctrl-C) to runCli and ends with its exit code.

import { readFileSync } from 'node:fs'
import { runCli } from './core/cli.ts'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

/** The first Ctrl-C asks the work to end well; the second ends the process at once. */
function interruptions(): AbortSignal {
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

/** `graft ... | head` closes the pipe early; that is no failure of ours. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

/** In a checkout there is no command `graft`, and the machine's own Node may be too old: scripts/setup.mjs starts the right one. */
const graft = import.meta.filename.endsWith('.ts') ? 'node scripts/setup.mjs src/cli/main.ts' : 'graft'

const exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  signal: interruptions(),
  version: manifest.version,
  graft,
  now: () => performance.now(),
})
// Sessions of ONNX Runtime may keep the process alive; all that was written is flushed first.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))
