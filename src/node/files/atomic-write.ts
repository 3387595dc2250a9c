// Atomic creation: new files and folders appear complete or not at all. They are written in a
// temporary folder next to the target and moved there by one rename.

import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OptionError } from '../../base/errors.ts'
import { makeDirectory } from './make-directory.ts'
import { findErrorCode, toStorageError } from './system-errors.ts'

/**
 * Runs the work that creates `path`, which must not exist yet, in a temporary place. If the work
 * fails or the process ends, `path` does not exist; the next call removes leftovers of ended
 * processes. Throws OptionError if `path` exists, StorageError if the result cannot be moved there.
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

/** Throws OptionError if there is something at the path. */
export async function checkAbsent(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined))
    throw new OptionError(`${path}: exists already. Choose a name that is free.`)
}

/**
 * Removes temporary files and folders of `name` from ended processes:
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
 * Makes the rename itself durable. Some file systems cannot sync a directory; the file is complete
 * either way.
 */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}
