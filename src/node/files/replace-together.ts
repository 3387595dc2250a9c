// Replaces files of one folder that belong together, such as an adapter's tensors and its
// configuration: later readers find all of the old ones or all of the new ones.

import { readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { makeDirectory } from './make-directory.ts'
import { toStorageError } from './system-errors.ts'

const pendingName = '.graft-pending'

/**
 * `write` writes the files into the folder that it receives, `last` as the last one. If `last`
 * exists, they are written aside and moved in order; `finishReplacing` completes the move after a
 * crash. Throws StorageError.
 */
export async function replaceTogether(
  folder: string,
  last: string,
  write: (place: string) => Promise<void>,
): Promise<void> {
  const pending = join(folder, pendingName)
  await rm(pending, { recursive: true, force: true })
  if (!(await stat(join(folder, last)).catch(() => undefined))) return write(folder)
  try {
    await write(pending)
    for (const name of await listFiles(pending))
      if (name !== last) await move(pending, folder, name)
    await move(pending, folder, last)
  } finally {
    if (!(await hasOnly(pending, last)))
      await rm(pending, { recursive: true, force: true }).catch(() => undefined)
  }
  await rm(pending, { recursive: true, force: true })
}

/** Moves the last of the files if a process ended before that. */
export async function finishReplacing(folder: string, last: string): Promise<void> {
  const pending = join(folder, pendingName)
  if (!(await hasOnly(pending, last))) return
  await move(pending, folder, last)
  await rm(pending, { recursive: true, force: true })
}

/** Whether all others were moved: the last one is written last, so it is whole. */
const hasOnly = async (pending: string, last: string): Promise<boolean> => {
  const names = await listFiles(pending)
  return names.length === 1 && names[0] === last
}

/** Paths of the files in a folder and those below it. */
async function listFiles(folder: string): Promise<string[]> {
  const items = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return items
    .filter((item) => item.isFile())
    .map((item) => relative(folder, join(item.parentPath, item.name)))
}

async function move(from: string, to: string, name: string): Promise<void> {
  const path = join(to, name)
  try {
    await makeDirectory(dirname(path))
    await rename(join(from, name), path)
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
}
