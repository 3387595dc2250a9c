// A virtual environment with the Python clients, made from the package registry by the first test
// that needs it and kept among the temporary files, by what is installed in it.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const requirements = fileURLToPath(new URL('./python/requirements.txt', import.meta.url))

export interface PythonRun {
  readonly code: number | null
  /** stdout and stderr. */
  readonly output: string
}

export interface PythonClients {
  /** Runs a command of the environment, such as lm_eval. */
  run(
    command: string,
    args: readonly string[],
    options?: { readonly cwd?: string; readonly environment?: Readonly<Record<string, string>> },
  ): Promise<PythonRun>
}

/** The clients, or why there are none: no Python, or a registry that cannot be reached. */
export async function openPython(): Promise<PythonClients | { readonly reason: string }> {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)
  const folder = join(tmpdir(), `graft-python-clients-${hash}`)
  const ready = join(folder, 'ready')
  const inside = (command: string): string => join(folder, 'bin', command)
  if (!existsSync(ready)) {
    rmSync(folder, { recursive: true, force: true })
    const steps: readonly (readonly [string, readonly string[]])[] = [
      ['python3', ['-m', 'venv', folder]],
      [inside('python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements]],
    ]
    for (const [command, args] of steps) {
      const { code, output } = await runCommand(command, args)
      if (code === 0) continue
      rmSync(folder, { recursive: true, force: true })
      const last = output.trim().split('\n').at(-1) ?? ''
      return { reason: `${command} ${args.slice(0, 3).join(' ')} ended with ${code}: ${last}` }
    }
    writeFileSync(ready, '')
  }
  return { run: (command, args, options) => runCommand(inside(command), args, options) }
}

function runCommand(
  command: string,
  args: readonly string[],
  { cwd, environment }: Parameters<PythonClients['run']>[2] = {},
): Promise<PythonRun> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment }
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env, cwd })
    let output = ''
    const take = (part: Buffer): void => void (output += String(part))
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('error', (error) => resolve({ code: null, output: error.message }))
    child.once('close', (code) => resolve({ code, output }))
  })
}
