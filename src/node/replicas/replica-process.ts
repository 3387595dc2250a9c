// One replica's process as its starter sees it: its events, its two pipes, and how it ended.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { parseEvent, type ReplicaEvent } from './replica-events.ts'
import { placeVariable, type ReplicaPlace } from './replica-place.ts'
import type { ReplicaLink } from './relay.ts'

export interface ReplicaEnd {
  readonly rank: number
  /** undefined: ended by a signal, or never started. */
  readonly code: number | undefined
  /** Why, in a few words: 'exit code 3', 'SIGKILL'. */
  readonly reason: string
  /** The error that it reported on stderr, or else the last line there. */
  readonly lastLine: string
}

export interface ReplicaProcess {
  readonly rank: number
  readonly pid: number | undefined
  readonly link: ReplicaLink
  /** Resolves when it has ended and all its events were handed on. */
  readonly ended: Promise<ReplicaEnd>
  kill(): void
}

const tailBytes = 4096

/** Keeps the end of a process's stderr. */
function keepTail(stream: Readable): () => string {
  let tail = ''
  stream.on('data', (chunk: Buffer) => (tail = (tail + String(chunk)).slice(-tailBytes)))
  return () => {
    const lines = tail.trim().split('\n')
    const error = lines.find((line) => line.startsWith('graft: '))
    return error?.slice('graft: '.length) ?? lines.at(-1) ?? ''
  }
}

function waitForEnd(child: ChildProcess, rank: number): Promise<ReplicaEnd> {
  const { promise, resolve } = Promise.withResolvers<ReplicaEnd>()
  const getLastLine = keepTail(child.stderr!)
  child.once('error', (error) =>
    resolve({ rank, code: undefined, reason: error.message, lastLine: '' }),
  )
  child.once('close', (code, signal) =>
    resolve({
      rank,
      code: code ?? undefined,
      reason: signal ?? `exit code ${code}`,
      lastLine: getLastLine(),
    }),
  )
  return promise
}

/** Starts a replica; `onEvent` gets each of its events. */
export function startReplica(
  [program, ...args]: readonly [string, ...string[]],
  place: ReplicaPlace,
  onEvent: (event: ReplicaEvent) => void,
): ReplicaProcess {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, [placeVariable]: JSON.stringify(place) },
  })
  const to = child.stdio[3] as Writable
  const from = child.stdio[4] as Readable
  // a broken pipe has no information beyond the process's exit
  for (const stream of [to, from]) stream.on('error', () => undefined)
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const event = parseEvent(line)
    if (event) onEvent(event)
  })
  return {
    rank: place.rank,
    pid: child.pid,
    link: { from, to },
    ended: waitForEnd(child, place.rank),
    kill: () => void child.kill('SIGKILL'),
  }
}
