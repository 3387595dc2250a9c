// Atomic creation: new files and folders appear complete or not at all.

import { rm, stat } from 'node:fs/promises'
import { OptionError } from '../../base/errors.ts'

/**
 * Does the work that makes `path`, which must not exist yet; when it fails, whatever is there is
 * removed. Throws OptionError where there is something.
 */
export async function writeAtomically<Result>(
  path: string,
  work: () => Promise<Result>,
): Promise<Result> {
  await checkAbsent(path)
  try {
    return await work()
  } catch (error) {
    // must not hide why the work failed
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
    throw error
  }
}

/** Throws OptionError where there is something at the path. */
export async function checkAbsent(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined))
    throw new OptionError(`${path}: exists already. Choose a name that is free.`)
}
