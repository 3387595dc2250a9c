// A fence between attempts at one run: the newest attempt may write, and an earlier one that still
// runs, on this machine or another one with the same folder, ends before it writes. The file
// contains the attempt, because a lock by process number cannot be checked from another machine.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConflictError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import type { ByteSink } from '../../formats/byte-source.ts'
import { createFileSink } from './file-sink.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

export const attemptFile = 'attempt.json'

interface Attempt {
  /** Counted from 1. */
  readonly attempt: number
  /** A secret of this attempt. */
  readonly token: string
}

export interface AttemptFence {
  /** Claims the folder; earlier attempts can no longer write. */
  take(): Promise<void>
  /** Throws ConflictError if a newer attempt has claimed the folder. */
  check(): Promise<void>
  /** The sink, whose writes are checked once the folder is taken. */
  guard(sink: ByteSink): ByteSink
}

/** The attempt that owns a folder; undefined if there is none, or none that can be read. */
async function readAttempt(folder: string): Promise<Attempt | undefined> {
  const path = join(folder, attemptFile)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
  })
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (!isRecord(value) || !Number.isInteger(value['attempt'])) return undefined
    return { attempt: Number(value['attempt']), token: String(value['token']) }
  } catch {
    return undefined
  }
}

export function createAttemptFence(folder: string): AttemptFence {
  let own: Attempt | undefined
  const check = async (): Promise<void> => {
    if (!own) return
    const now = await readAttempt(folder)
    if (now?.token === own.token) return
    const by = now ? `attempt ${now.attempt}` : 'another run'
    throw new ConflictError(
      `${folder}: ${by} has taken over; this run, attempt ${own.attempt}, ends without writing.`,
    )
  }
  return {
    async take() {
      const earlier = await readAttempt(folder)
      const taken = { attempt: (earlier?.attempt ?? 0) + 1, token: randomUUID() }
      const bytes = new TextEncoder().encode(`${JSON.stringify(taken)}\n`)
      await createFileSink(folder).write(attemptFile, [bytes])
      own = taken
    },
    check,
    guard: (sink) => ({
      name: sink.name,
      async write(path, chunks) {
        await check()
        await sink.write(path, chunks)
      },
    }),
  }
}
