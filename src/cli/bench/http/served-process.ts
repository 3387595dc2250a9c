// `graft serve` in a separate process, as users start it, so that a benchmark's client shares
// nothing with it.

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { NotFoundError } from '../../../base/errors.ts'

export interface ServedProcess {
  readonly url: string
  /** Milliseconds from the start of the process until its address was printed. */
  readonly startMs: number
  /** Ends it in good order. */
  stop(): Promise<void>
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const main = fileURLToPath(new URL(`../../main.${extension}`, import.meta.url))

/** Resolves when the first screen names the address; throws where the process ends before. */
export async function startServedProcess(
  model: string,
  options: readonly string[] = [],
): Promise<ServedProcess> {
  const startedAt = performance.now()
  const fixed = ['--port', '0', '--state', 'memory', '--log', 'off']
  const child = spawn(process.execPath, [main, 'serve', model, ...fixed, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await readAddress(child)
  return {
    url,
    startMs: performance.now() - startedAt,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

function readAddress(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const take = (chunk: Buffer): void => {
      output += String(chunk)
      const [address] = /http:\/\/[\w.:[\]]+/.exec(output) ?? []
      if (address !== undefined) resolve(address)
    }
    child.stdout!.on('data', take)
    child.stderr!.on('data', take)
    child.once('exit', (code) =>
      reject(new NotFoundError(`graft serve ended with ${code} before it listened: ${output}`)),
    )
  })
}
