// Creates a directory and its parents. Node's recursive mkdir never returns if the parent exists
// and refuses with ENOENT, as /proc does.

import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { findErrorCode } from './system-errors.ts'

const isDirectory = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true

/**
 * Creates a directory and its missing parents; does nothing if it exists. Throws the system's
 * error.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (await isDirectory(path)) return // it existed, or another process was faster
    const parent = dirname(path)
    if (findErrorCode(error) !== 'ENOENT' || parent === path) throw error
    // Another process may have just created the parent: one more try distinguishes that from a file
    // system that refuses.
    if (!(await isDirectory(parent))) await makeDirectory(parent)
    await mkdir(path).catch(async (cause: unknown) => {
      if (!(await isDirectory(path))) throw cause
    })
  }
}
