// Atomic creation: new files and folders appear whole or not at all. They are made in a folder beside
// their place and moved there by one rename.

import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OptionError } from '../../base/errors.ts'
import { makeDirectory } from './make-directory.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

/**
 * Does the work that makes `path`, which must not exist yet, at the place that the work is given.
 * When the work fails, or the process ends while it is done, there is nothing at `path`; what an
 * ended process left is removed by the next call. Throws OptionError where there is something,
 * StorageError where the result cannot be moved there.
 */
export async function writeAtomically<Result>(
  path: string,
  work: (place: string) => Promise<Result>,
): Promise<Result> {
  await checkAbsent(path)
  const folder = `${path}.${process.pid}.tmp`
  const place = join(folder, basename(path))
  try {
    await makeDirectory(folder)
    await removeAbandoned(dirname(path), basename(path))
    const result = await work(place)
    await checkAbsent(path)
    await rename(place, path)
    await syncDirectory(dirname(path))
    return result
  } catch (error) {
    throw findErrorCode(error) === undefined
      ? error
      : toStorageError(`${path}: cannot be written`, error)
  } finally {
    // must not hide why the work failed
    await rm(folder, { recursive: true, force: true }).catch(() => undefined)
  }
}

/** Throws OptionError where there is something at the path. */
export async function checkAbsent(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined))
    throw new OptionError(`${path}: exists already. Choose a name that is free.`)
}

/**
 * Removes temporary files and folders of `name` that a process left which has ended:
 * `name.<pid>.tmp`, `name.<pid>.<n>.tmp`.
 */
export async function removeAbandoned(directory: string, name: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  const left = names.filter((other) => {
    if (!other.startsWith(`${name}.`)) return false
    const [, pid] = /^\.(\d+)(?:\.\d+)?\.tmp$/.exec(other.slice(name.length)) ?? []
    return pid !== undefined && isProcessGone(Number(pid))
  })
  for (const other of left)
    await rm(join(directory, other), { recursive: true, force: true }).catch(() => undefined)
}

/** Whether there is no process of this number on this machine. */
export function isProcessGone(pid: number): boolean {
  try {
    process.kill(pid, 0) // signal 0 only asks whether the process is there
    return false
  } catch (error) {
    return findErrorCode(error) === 'ESRCH'
  }
}

/**
 * Makes the rename itself durable; some file systems cannot sync a directory, and the file is whole
 * either way.
 */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}
