// A lock between processes on one machine, so that two of them do not fetch the same file at once.

import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isProcessGone } from './atomic-write.ts'
import { makeDirectory } from './make-directory.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

const pollMs = 100
// a holder writes its process number at once; an older empty lock was left by a crash
const unwrittenMs = 10_000

/**
 * Runs `work` while holding `path`; waits if another process holds it, takes over if that process
 * has ended.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  await makeDirectory(dirname(path)).catch((cause: unknown) => {
    throw toStorageError(`${dirname(path)}: cannot be created`, cause)
  })
  while (!(await acquire(path))) {
    if (await isAbandoned(path)) await rm(path, { force: true })
    else await sleep(pollMs)
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

/**
 * Runs `work` while holding `path`; if another process holds it, throws what `refuse` returns for
 * its number. Takes over if that process has ended.
 */
export async function withLockOrError<T>(
  path: string,
  refuse: (holder: string) => Error,
  work: () => Promise<T>,
): Promise<T> {
  await makeDirectory(dirname(path)).catch((cause: unknown) => {
    throw toStorageError(`${dirname(path)}: cannot be created`, cause)
  })
  while (!(await acquire(path))) {
    if (!(await isAbandoned(path))) throw refuse(await readFile(path, 'utf8').catch(() => '?'))
    await rm(path, { force: true })
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function acquire(path: string): Promise<boolean> {
  try {
    await writeFile(path, String(process.pid), { flag: 'wx' })
    return true
  } catch (cause) {
    if (findErrorCode(cause) === 'EEXIST') return false
    throw toStorageError(`${path}: cannot be created`, cause)
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const holder = Number(await readFile(path, 'utf8').catch(() => ''))
  if (!holder) {
    const found = await stat(path).catch(() => undefined)
    return found !== undefined && Date.now() - found.mtimeMs > unwrittenMs
  }
  return isProcessGone(holder)
}
