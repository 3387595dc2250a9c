// Experts' files in the browser's own file system (OPFS): a folder for each content hash.

import { toBrowserStorageError } from '../stores/storage-errors.ts'
import { type ContentStore, countFileBytes } from './content-store.ts'

/** Whether this browser has a file system that pages can write. */
export const hasOpfs = (): boolean =>
  typeof navigator.storage?.getDirectory === 'function' &&
  typeof FileSystemFileHandle !== 'undefined' &&
  'createWritable' in FileSystemFileHandle.prototype

/** Throws StorageError if the browser forbids it. */
export async function openOpfsContent(registryName: string): Promise<ContentStore> {
  const name = `opfs:${registryName}`
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (cause) {
      throw toBrowserStorageError(`${name}: ${what}`, cause)
    }
  }
  const root = await attempt('cannot be opened', async () =>
    (await navigator.storage.getDirectory()).getDirectoryHandle(registryName, { create: true }),
  )
  const find = async (hash: string): Promise<FileSystemDirectoryHandle | undefined> =>
    root.getDirectoryHandle(hash).catch((error: unknown) => ignoreMissing(error))
  return {
    name,
    write: (hash, files) =>
      attempt('cannot be written', async () => {
        const folder = await root.getDirectoryHandle(hash, { create: true })
        for (const [path, bytes] of files) await writeFile(folder, path, bytes)
      }),
    read: (hash) =>
      attempt('cannot be read', async () => {
        const folder = await find(hash)
        return folder ? readFiles(folder) : new Map()
      }),
    remove: (hash) =>
      attempt('cannot be removed', async () => {
        const folder = await find(hash)
        if (!folder) return 0
        const bytes = countFileBytes(await readFiles(folder))
        await root.removeEntry(hash, { recursive: true })
        return bytes
      }),
    list: () =>
      attempt('cannot be listed', async () => {
        const hashes: string[] = []
        for await (const hash of root.keys()) hashes.push(hash)
        return hashes
      }),
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof DOMException && error.name === 'NotFoundError') return undefined
  throw error
}

/** The write is atomic: the browser moves the file into place when the stream is closed. */
async function writeFile(
  folder: FileSystemDirectoryHandle,
  path: string,
  bytes: Uint8Array,
): Promise<void> {
  const parts = path.split('/')
  let at = folder
  for (const part of parts.slice(0, -1)) at = await at.getDirectoryHandle(part, { create: true })
  const file = await at.getFileHandle(parts.at(-1)!, { create: true })
  const stream = await file.createWritable()
  await stream.write(bytes as Uint8Array<ArrayBuffer>)
  await stream.close()
}

async function readFiles(
  folder: FileSystemDirectoryHandle,
  before = '',
  files = new Map<string, Uint8Array>(),
): Promise<Map<string, Uint8Array>> {
  for await (const entry of folder.values()) {
    const path = `${before}${entry.name}`
    if (entry instanceof FileSystemDirectoryHandle) await readFiles(entry, `${path}/`, files)
    else if (entry instanceof FileSystemFileHandle)
      files.set(path, new Uint8Array(await (await entry.getFile()).arrayBuffer()))
  }
  return files
}
