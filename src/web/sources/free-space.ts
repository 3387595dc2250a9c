// Room for files: asked for before they are fetched, and kept from being cleared away.

import { StorageError } from '../../base/errors.ts'

let isAsked = false

const format = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`

/**
 * Asks once that this site's files outlive a shortage of room, and throws StorageError if a file of
 * this size has no room now.
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
