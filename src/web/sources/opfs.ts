// Folders of the browser's own file system (OPFS), and folders that a user has opened to the page:
// read as byte folders, written as byte sinks, named `opfs:experts/coder`.

import { FormatError, OptionError, StorageError } from '../../base/errors.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { hasOpfs } from '../registry/opfs-content.ts'
import { toBrowserStorageError } from '../stores/storage-errors.ts'
import { createBlobSource } from './blob-source.ts'

const scheme = 'opfs:'

export const isOpfsPath = (source: string): boolean => source.startsWith(scheme)

export const isDirectoryHandle = (source: unknown): source is FileSystemDirectoryHandle =>
  typeof FileSystemDirectoryHandle !== 'undefined' && source instanceof FileSystemDirectoryHandle

export const isFileHandle = (source: unknown): source is FileSystemFileHandle =>
  typeof FileSystemFileHandle !== 'undefined' && source instanceof FileSystemFileHandle

/**
 * The parts of a path. File names can come from files, such as the index of a sharded model, and
 * must not leave the folder.
 */
function splitPath(path: string, what: string): string[] {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.length === 0 || parts.some((part) => part === '.' || part === '..'))
    throw new FormatError(`${what}: the name ${JSON.stringify(path)} leads out of the folder.`)
  return parts
}

/** This browser has no file system for this page. */
export class NoOpfsError extends StorageError {
  override get name(): string {
    return 'StorageError'
  }
}

/** Throws NoOpfsError. */
export async function openOpfsRoot(): Promise<FileSystemDirectoryHandle> {
  if (!hasOpfs())
    throw new NoOpfsError(
      'This browser gives pages no file system here (OPFS): it needs https or this machine, and some browsers keep it from private windows. Open the page in a usual window, or keep the files yourself (exportAdapter).',
    )
  try {
    return await navigator.storage.getDirectory()
  } catch (cause) {
    const { message } = toBrowserStorageError('The file system of this site (OPFS)', cause)
    throw new NoOpfsError(`${message} Private windows of some browsers have none.`, { cause })
  }
}

const ignoreMissing = (error: unknown): undefined => {
  if (
    error instanceof DOMException &&
    (error.name === 'NotFoundError' || error.name === 'TypeMismatchError')
  )
    return undefined
  throw error
}

/**
 * The folder of `opfs:…`. If it does not exist, it is created on request, else the result is
 * undefined.
 */
export async function openOpfsFolder(
  path: string,
  { create = false } = {},
): Promise<FileSystemDirectoryHandle | undefined> {
  if (!isOpfsPath(path))
    throw new OptionError(`${path}: expected opfs: and a path, such as opfs:experts/coder.`)
  let at: FileSystemDirectoryHandle | undefined = await openOpfsRoot()
  for (const part of splitPath(path.slice(scheme.length), path))
    at = at && (await at.getDirectoryHandle(part, { create }).catch(ignoreMissing))
  return at
}

/** Whether a folder has a file or folder of this name. */
export async function hasEntry(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  const file = await folder.getFileHandle(name).catch(ignoreMissing)
  return (
    file !== undefined || (await folder.getDirectoryHandle(name).catch(ignoreMissing)) !== undefined
  )
}

/** Removes the existing entries of these names. */
export async function removeEntries(
  folder: FileSystemDirectoryHandle,
  names: Iterable<string>,
): Promise<void> {
  for (const name of names) await folder.removeEntry(name, { recursive: true }).catch(ignoreMissing)
}

/** A folder of handles as a byte folder. */
export function createHandleFolder(folder: FileSystemDirectoryHandle, name: string): ByteFolder {
  return {
    name,
    async open(path) {
      const parts = splitPath(path, name)
      let at: FileSystemDirectoryHandle | undefined = folder
      for (const part of parts.slice(0, -1))
        at = at && (await at.getDirectoryHandle(part).catch(ignoreMissing))
      const file = await at?.getFileHandle(parts.at(-1)!).catch(ignoreMissing)
      return file && createBlobSource(`${name}/${path}`, await file.getFile())
    },
  }
}

/**
 * Writes into a folder of handles. A write is atomic, because the browser moves the file into place
 * when its stream is closed; if the tab is closed before, the old file remains. Throws
 * StorageError.
 */
export function createHandleSink(folder: FileSystemDirectoryHandle, name: string): ByteSink {
  return {
    name,
    async write(path, chunks) {
      const parts = splitPath(path, name)
      try {
        let at = folder
        for (const part of parts.slice(0, -1))
          at = await at.getDirectoryHandle(part, { create: true })
        await writeHandle(await at.getFileHandle(parts.at(-1)!, { create: true }), chunks)
      } catch (cause) {
        throw cause instanceof DOMException
          ? toBrowserStorageError(`${name}/${path}: cannot be written`, cause)
          : cause
      }
    },
  }
}

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Replaces the file's contents by these bytes. */
export async function writeHandle(file: FileSystemFileHandle, chunks: Chunks): Promise<void> {
  const stream = await file.createWritable()
  try {
    for await (const chunk of chunks) await stream.write(chunk as Uint8Array<ArrayBuffer>)
  } catch (error) {
    await stream.abort(error).catch(() => undefined)
    throw error
  }
  await stream.close()
}
