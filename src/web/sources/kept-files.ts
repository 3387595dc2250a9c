// The layout of downloaded files in OPFS: a folder for each URL, with the file in pieces that are
// written atomically. A file is complete if `whole.json` exists, which is written last; its pieces
// are then read as one Blob, from disk.

import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { hasEntry, openOpfsRoot, removeEntries } from './opfs.ts'

/** The most bytes that are lost when a tab is closed. */
export const pieceBytes = 8 << 20
export const rootName = 'graft-downloads'
export const wholeName = 'whole.json'
export const begunName = 'begun.json'
/** Records that the server has no such file, for optional files of a model folder. */
export const absentName = 'absent.json'

/** Facts on a file during and after its download. */
export interface FileFacts {
  readonly url: string
  readonly sizeBytes: number | undefined
  readonly version: string | undefined
  readonly sha256?: string
}

/** The name of a URL's folder; the fragment is ignored. */
export const toFolderName = (url: string): string =>
  computeSha256Sync(new TextEncoder().encode(url.replace(/#.*$/, ''))).slice(0, 32)

export const toPieceName = (index: number): string => String(index).padStart(6, '0')
export const encodeJson = (value: object): Uint8Array[] => [
  new TextEncoder().encode(JSON.stringify(value)),
]

export async function readJson<Value>(
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<Value | undefined> {
  const text = await folder
    .getFileHandle(name)
    .then(async (file) => (await file.getFile()).text())
    .catch(() => undefined)
  try {
    return text === undefined || text === '' ? undefined : (JSON.parse(text) as Value)
  } catch {
    return undefined
  }
}

/** The pieces in order, up to the first that is missing or not `pieceBytes` long. */
export async function readPieces(folder: FileSystemDirectoryHandle): Promise<File[]> {
  const pieces: File[] = []
  for (;;) {
    const handle = await folder.getFileHandle(toPieceName(pieces.length)).catch(() => undefined)
    const file = await handle?.getFile()
    if (!file) return pieces
    pieces.push(file)
    if (file.size !== pieceBytes) return pieces
  }
}

export interface KeptFile {
  readonly blob: Blob
  readonly sha256: string
}

async function findFolder(url: string): Promise<FileSystemDirectoryHandle | undefined> {
  const root = await openOpfsRoot()
  return root
    .getDirectoryHandle(rootName)
    .then((all) => all.getDirectoryHandle(toFolderName(url)))
    .catch(() => undefined)
}

export async function readWhole(folder: FileSystemDirectoryHandle): Promise<KeptFile | undefined> {
  const whole = await readJson<FileFacts>(folder, wholeName)
  if (!whole) return undefined
  const blob = new Blob(await readPieces(folder))
  // A browser that is short of space may have evicted pieces.
  return blob.size === whole.sizeBytes && whole.sha256 !== undefined
    ? { blob, sha256: whole.sha256 }
    : undefined
}

/** Whether the server had no such file at the last request. */
export async function isKnownAbsent(url: string): Promise<boolean> {
  const folder = await findFolder(url)
  return folder !== undefined && (await hasEntry(folder, absentName))
}

/** Removes the stored file of a URL, complete or not; false if there was nothing. */
export async function removeDownload(url: string): Promise<boolean> {
  const root = await openOpfsRoot()
  const name = toFolderName(url)
  const all = await root.getDirectoryHandle(rootName).catch(() => undefined)
  const isThere = all !== undefined && (await hasEntry(all, name))
  if (isThere) await removeEntries(all, [name])
  return isThere
}

export interface KeptDownload {
  readonly url: string
  readonly sizeBytes: number
  /** False: the download was interrupted, and resumes at the next request. */
  readonly isWhole: boolean
}

/** The stored files of the web. */
export async function listDownloads(): Promise<readonly KeptDownload[]> {
  const root = await openOpfsRoot()
  const all = await root.getDirectoryHandle(rootName).catch(() => undefined)
  const found: KeptDownload[] = []
  for await (const entry of all?.values() ?? []) {
    if (!(entry instanceof FileSystemDirectoryHandle)) continue
    const whole = await readJson<FileFacts>(entry, wholeName)
    const facts = whole ?? (await readJson<FileFacts>(entry, begunName))
    if (!facts) continue
    const sizeBytes = (await readPieces(entry)).reduce((sum, { size }) => sum + size, 0)
    found.push({ url: facts.url, sizeBytes, isWhole: whole !== undefined })
  }
  return found
}
