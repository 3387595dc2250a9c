// `graft serve` over the embedded model in a process of its own, as users start it.

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './sources.ts'

export interface ServeProcess {
  readonly url: string
  readonly child: ChildProcess
  /** What was said on stdout and stderr so far. */
  readonly output: () => string
  /** The lines of the log. */
  readonly log: () => Record<string, unknown>[]
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
  /** SIGTERM, and the end. */
  stop(): Promise<{ readonly code: number | null; readonly signal: string | null }>
}

export interface ServeSettings {
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Kilobytes that a file may have: a full disk. */
  readonly mostFileKilobytes?: number
}

const main = join(root, 'src', 'cli', 'main.ts')
const startMs = 60_000

/** Resolves when the first screen names the address; rejects where the process ends before. */
export async function startServe({
  args = [],
  environment = {},
  mostFileKilobytes,
}: ServeSettings = {}): Promise<ServeProcess> {
  const command = [process.execPath, main, 'serve', 'stories260k', '--port', '0', ...args]
  const limit = mostFileKilobytes === undefined ? '' : `ulimit -f ${mostFileKilobytes}; `
  const child = spawn('bash', ['-c', `${limit}exec "$@"`, 'bash', ...command], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`no address in ${startMs} ms: ${output}`))
    }, startMs)
    const take = (chunk: Buffer): void => {
      output += String(chunk)
      const [, found] = /Serving .* at (http:\S+)\/v1/.exec(output) ?? []
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${output}`)))
    void ended.then(() => clearTimeout(timer))
  })
  return {
    url,
    child,
    output: () => output,
    log: () =>
      output
        .split('\n')
        .filter((line) => line.startsWith('{"time"'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    ended,
    stop: () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}

/** Asks for JSON; `key`: sent as a bearer token. */
export async function askServe(
  { url }: Pick<ServeProcess, 'url'>,
  path: string,
  body?: object,
  key?: string,
): Promise<{
  readonly status: number
  readonly headers: Headers
  readonly body: ReturnType<typeof JSON.parse>
}> {
  const response = await fetch(url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  }
}
