// Starts the soaked server in a process of its own and talks to it.

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { StartServerOptions } from '../../../src/node/serve/start-server.ts'
import type { ServerState } from './soak-server.ts'

export interface SoakedServer {
  readonly url: string
  /** What it wrote on stdout and stderr. */
  readonly output: () => string
  measure(): Promise<ServerState>
  close(): Promise<{ readonly code: number | null; readonly isWhole: boolean }>
}

interface Told {
  readonly url?: string
  readonly state?: ServerState
  readonly ended?: { readonly isWhole: boolean }
}

const locate = (name: string): URL => new URL(name, import.meta.url)

export async function startSoaked(options: StartServerOptions): Promise<SoakedServer> {
  const child = fork(fileURLToPath(locate('./soak-server.ts')), [JSON.stringify(options)], {
    execArgv: [
      ...['--disable-warning=ExperimentalWarning', '--expose-gc'],
      ...['--import', locate('./measure-memory.ts').href],
    ],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => (output += String(chunk)))
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const hear = <Key extends keyof Told>(key: Key): Promise<NonNullable<Told[Key]>> =>
    new Promise((resolve, reject) => {
      const take = (told: Told): void => {
        if (told[key] === undefined) return
        child.off('message', take)
        resolve(told[key])
      }
      child.on('message', take)
      void exited.then((code) => reject(new Error(`the server ended with ${code}: ${output}`)))
    })
  return {
    url: await hear('url'),
    output: () => output,
    measure() {
      const answered = hear('state')
      child.send('state')
      return answered
    },
    async close() {
      const ended = hear('ended')
      child.send('close')
      const { isWhole } = await ended
      return { code: await exited, isWhole }
    },
  }
}
