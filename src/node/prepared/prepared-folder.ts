// The folder of prepared files: names, space, and files of ended processes. Files are written under
// a temporary name and get their final name by a link, so that a process continues to read its own
// file, and others find it complete or not at all.

import { link, readdir, rm, stat, statfs, utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { isProcessGone, syncDirectory } from '../files/atomic-write.ts'

const ending = '.packed'

export const getPreparedPath = (folder: string, key: string): string => join(folder, key + ending)

let made = 0
/** A name of this process and thread alone. */
export const createTemporaryName = (key: string): string =>
  `${key}.${process.pid}.${threadId}-${made++}.tmp`

/** Removes temporary files of processes that have ended. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, pid] = /\.(\d+)\.\d+-\d+\.tmp$/.exec(name) ?? []
    if (pid !== undefined && isProcessGone(Number(pid)))
      await rm(join(folder, name), { force: true }).catch(() => undefined)
  }
}

/** Gives a file that is whole and synced its own name; another process's file may be there. */
export async function linkPrepared(folder: string, temporary: string, key: string): Promise<void> {
  await link(join(folder, temporary), getPreparedPath(folder, key)).catch(() => undefined)
  await syncDirectory(folder)
}

/**
 * A second name for a file, so that it stays while this process uses it, even if another process
 * removes it. The file's own name if the file system has no links.
 */
export async function linkForUse(folder: string, key: string): Promise<string> {
  const path = getPreparedPath(folder, key)
  const name = createTemporaryName(key)
  try {
    await link(path, join(folder, name))
    return name
  } catch {
    return basename(path)
  }
}

/** Marks a file as used now: those that were not used for longest are removed first. */
export async function markUsed(path: string): Promise<void> {
  const now = new Date()
  await utimes(path, now, now).catch(() => undefined)
}

/**
 * Makes space for a file: removes others until all fit into `mostBytes` and a twentieth of the disk
 * stays free. False if that is impossible.
 */
export async function makeRoom(
  folder: string,
  neededBytes: number,
  mostBytes: number,
): Promise<boolean> {
  if (neededBytes > mostBytes) return false
  const files = await listBySize(folder)
  let usedBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const oldest = files.sort((a, b) => a.usedMs - b.usedMs)
  const fits = async (): Promise<boolean> => {
    if (usedBytes + neededBytes > mostBytes) return false
    const { bavail, blocks, bsize } = await statfs(folder)
    return (bavail - blocks / 20) * bsize >= neededBytes
  }
  while (!(await fits())) {
    const next = oldest.shift()
    if (!next) return false
    await rm(next.path, { force: true }).catch(() => undefined)
    usedBytes -= next.sizeBytes
  }
  return true
}

export interface PreparedEntry {
  readonly path: string
  readonly sizeBytes: number
  /** When it was last opened. */
  readonly usedMs: number
}

export async function listBySize(folder: string): Promise<PreparedEntry[]> {
  const found: PreparedEntry[] = []
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(ending)) continue
    const path = join(folder, name)
    const file = await stat(path).catch(() => undefined)
    if (file) found.push({ path, sizeBytes: file.size, usedMs: file.mtimeMs })
  }
  return found
}
