// Reads a whole file by URL, File or `opfs:…`: data, a router's file.

import { NotFoundError, StorageError } from '../../base/errors.ts'
import { requireFile } from './download.ts'
import { resolveUrl } from './open-source.ts'
import {
  createHandleFolder,
  isFileHandle,
  isOpfsPath,
  openOpfsFolder,
  openOpfsRoot,
} from './opfs.ts'
import { requestFile } from './request.ts'

/** The source of one file. */
export type FileSource = string | URL | Blob | FileSystemFileHandle

export interface ReadFile {
  readonly name: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Throws NotFoundError, StorageError. */
export async function readFile(source: FileSource): Promise<ReadFile> {
  if (source instanceof Blob)
    return readBlob(source, source instanceof File ? source.name : 'a Blob')
  if (isFileHandle(source)) return readBlob(await source.getFile(), source.name)
  const text = String(source)
  if (isOpfsPath(text)) return readFromOpfs(text)
  const url = resolveUrl(text)
  const response = requireFile(await requestFile(url), url)
  const bytes = await response.arrayBuffer().catch((cause: unknown) => {
    throw new StorageError(`${url}: the answer was cut off. Try again.`, { cause })
  })
  const name = decodeURIComponent(new URL(url).pathname.split('/').at(-1)!) || url
  return { name, bytes: new Uint8Array(bytes) }
}

export async function readTextFile(
  source: FileSource,
): Promise<{ readonly name: string; readonly text: string }> {
  const { name, bytes } = await readFile(source)
  return { name, text: new TextDecoder().decode(bytes) }
}

const readBlob = async (blob: Blob, name: string): Promise<ReadFile> => ({
  name,
  bytes: new Uint8Array(await blob.arrayBuffer()),
})

async function readFromOpfs(path: string): Promise<ReadFile> {
  const [, parent = '', name = ''] = /^(opfs:(?:.*(?=\/))?)\/?([^/]+)$/.exec(path) ?? []
  const handle = parent === 'opfs:' ? await openOpfsRoot() : await openOpfsFolder(parent)
  const file = handle && (await createHandleFolder(handle, parent).open(name))
  if (!file) throw new NotFoundError(`${path}: there is no such file in this browser.`)
  return { name, bytes: (await file.read(0, file.sizeBytes)) as Uint8Array<ArrayBuffer> }
}
