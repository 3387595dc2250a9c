// Checks free space before files are downloaded, and requests persistent storage.

import { StorageError } from '../../base/errors.ts'

let isAsked = false

const format = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`

/**
 * Requests persistent storage once, so that the browser does not evict this site's files, and
 * throws StorageError if there is no space for a file of this size.
 */
export async function checkFreeSpace(name: string, sizeBytes = 0): Promise<void> {
  if (!isAsked) await navigator.storage.persist?.().catch(() => false)
  isAsked = true
  const { quota, usage = 0 } = (await navigator.storage.estimate?.()) ?? {}
  if (quota === undefined || quota - usage >= sizeBytes) return
  throw new StorageError(
    `${name}: needs ${format(sizeBytes)}, and this site may keep ${format(Math.max(0, quota - usage))} more in this browser. Remove what you no longer need (listDownloads, removeDownload), free room on the disk, or load it without keeping it (cache: false).`,
  )
}
