// A directory and those above it. Node's own recursive mkdir never returns where the parent is
// there and refuses with ENOENT, as /proc does.

import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { findErrorCode } from './system-errors.ts'

const isDirectory = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true

/**
 * Makes a directory, and the missing ones above it; does nothing where it is there. Throws the
 * system's own error.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (await isDirectory(path)) return // it was there, or another process was faster
    const parent = dirname(path)
    if (findErrorCode(error) !== 'ENOENT' || parent === path) throw error
    // The parent may have come into being just now, by another maker: one more try tells that from
    // a file system that refuses.
    if (!(await isDirectory(parent))) await makeDirectory(parent)
    await mkdir(path).catch(async (cause: unknown) => {
      if (!(await isDirectory(path))) throw cause
    })
  }
}
