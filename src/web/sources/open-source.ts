// Opens the bytes of a source: a URL, a file, files, a folder, opfs:…, hf:owner/name, a name of the
// catalogue.

import { NotFoundError, OptionError } from '../../base/errors.ts'
import { createOpaqueField } from '../../base/opaque-field.ts'
import { parseHubReference } from '../../catalogue/hub-reference.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import { refuseLfsPointer } from '../../formats/lfs-pointer.ts'
import { createBlobSource, createFilesFolder } from './blob-source.ts'
import { downloadFile, type FetchFileOptions, requireFile } from './download.ts'
import { isKnownAbsent } from './kept-files.ts'
import {
  createHandleFolder,
  isDirectoryHandle,
  isFileHandle,
  isOpfsPath,
  NoOpfsError,
  openOpfsFolder,
} from './opfs.ts'
import { UnreachableError } from './request.ts'
import { createUrlFolder, openUrlSource } from './url-source.ts'

/**
 * A URL of a folder or of a .gguf file, `opfs:…`, `hf:owner/name`, a File or Blob (GGUF), the Files
 * of a folder, a handle of a file or folder, or any other folder of bytes.
 */
export type WebSource =
  | string
  | URL
  | Blob
  | readonly File[]
  | FileSystemFileHandle
  | FileSystemDirectoryHandle
  | ByteFolder

export interface OpenSourceOptions extends FetchFileOptions {
  /**
   * Whether files from the web are cached in OPFS. 'auto': if the browser supports it; otherwise
   * they are read in parts from the server.
   */
  readonly cache?: boolean | 'auto' | undefined
  /** Called with a sentence if something is done differently than requested. */
  readonly onNote?: ((note: string) => void) | undefined
}

/** A name, and a folder or one file. */
export type OpenedSource =
  | { readonly name: string; readonly folder: ByteFolder }
  | { readonly name: string; readonly file: ByteSource }

const isFolder = (source: unknown): source is ByteFolder =>
  typeof source === 'object' &&
  source !== null &&
  'open' in source &&
  typeof source.open === 'function'

const isFiles = (source: unknown): source is readonly File[] =>
  Array.isArray(source) && source.length > 0 && source.every((one) => one instanceof File)

/** Whether a value is one of the forms; a string must not be empty. */
export const isWebSource = (source: unknown): source is WebSource =>
  (typeof source === 'string' && source !== '') ||
  source instanceof URL ||
  source instanceof Blob ||
  isFiles(source) ||
  isDirectoryHandle(source) ||
  isFileHandle(source) ||
  isFolder(source)

const forms =
  'a URL, opfs:…, hf:owner/name, a File or Blob, a list of Files, or a handle of a file or folder'

export const sourceField = createOpaqueField<WebSource>(forms, isWebSource)

/** Throws OptionError for a value of another form, and what opening throws. */
export async function openSource(
  source: WebSource,
  options: OpenSourceOptions = {},
): Promise<OpenedSource> {
  if (!isWebSource(source))
    throw new OptionError(
      `Got ${source === '' ? 'an empty text' : typeof source}, expected ${forms}.`,
    )
  if (typeof source === 'string') return openFromText(source, options)
  if (source instanceof URL) return openFromUrl(source.href, options)
  if (isFiles(source)) return openFromFiles(source)
  if (source instanceof Blob) return openFromBlob(source)
  if (isFileHandle(source)) return openFromBlob(await source.getFile())
  if (isDirectoryHandle(source))
    return { name: source.name, folder: createHandleFolder(source, source.name) }
  return { name: source.name, folder: source }
}

function openFromText(source: string, options: OpenSourceOptions): Promise<OpenedSource> {
  if (isOpfsPath(source)) return openFromOpfs(source)
  if (source.startsWith('hf:')) return openFromHub(source, options)
  return openFromUrl(resolveUrl(source), options)
}

/** Resolves a URL relative to the page, or in a worker relative to the worker. */
export function resolveUrl(text: string): string {
  if (URL.canParse(text, globalThis.location?.href))
    return new URL(text, globalThis.location?.href).href
  throw new OptionError(`${JSON.stringify(text)}: is not a URL. Expected ${forms}.`)
}

const openFromBlob = (blob: Blob): OpenedSource => {
  const name = blob instanceof File ? blob.name : 'a Blob'
  return { name: withoutExtension(name), file: createBlobSource(name, blob) }
}

/** One file is used by itself; several form a folder. */
function openFromFiles(files: readonly File[]): OpenedSource {
  const [first] = files
  if (files.length === 1 && first!.name.endsWith('.gguf')) return openFromBlob(first!)
  const folder = createFilesFolder(files)
  return { name: folder.name, folder }
}

const withoutExtension = (name: string): string => name.replace(/\.gguf$/i, '')

async function openFromOpfs(path: string): Promise<OpenedSource> {
  const isFile = /\.gguf$/i.test(path)
  const parent = isFile ? path.replace(/\/?[^/:]+$/, '') : path
  const name = path.split(/[/:]/).at(-1)!
  const handle = await openOpfsFolder(parent)
  const folder = handle && createHandleFolder(handle, path)
  const file = isFile ? await folder?.open(name) : undefined
  if (file) return { name: withoutExtension(name), file }
  if (folder && !isFile) return { name, folder }
  throw new NotFoundError(
    `${path}: there is no such ${isFile ? 'file' : 'folder'} in this browser.`,
  )
}

const hubUrl = 'https://huggingface.co'

async function openFromHub(source: string, options: OpenSourceOptions): Promise<OpenedSource> {
  const { repository, revision, ggufPath } = parseHubReference(source)
  const base = `${hubUrl}/${repository}/resolve/${encodeURIComponent(revision)}/`
  const opened = await openFromUrl(ggufPath ? base + ggufPath : base, options)
  return 'file' in opened ? opened : { name: repository, folder: opened.folder }
}

const isGgufUrl = (url: string): boolean =>
  url.startsWith('blob:') || url.startsWith('data:') || /\.gguf$/i.test(new URL(url).pathname)

async function openFromUrl(url: string, options: OpenSourceOptions): Promise<OpenedSource> {
  const open = chooseOpener(options)
  const { pathname } = new URL(url)
  if (isGgufUrl(url)) {
    const file = requireFile(await open(url), url)
    await refuseLfsPointer(file)
    const openBeside = (name: string) => open(new URL(encodeURIComponent(name), url).href)
    const { sizeBytes, read } = file
    const name = decodeURIComponent(pathname.split('/').at(-1)!)
    return {
      name: withoutExtension(name),
      file: { name: url, sizeBytes, read: read.bind(file), openBeside },
    }
  }
  const base = new URL(url)
  // A file of the folder selects it.
  if (/\/(adapter_)?config\.json$/.test(pathname)) base.pathname = pathname.replace(/[^/]+$/, '')
  else if (!pathname.endsWith('/')) base.pathname += '/'
  const name = decodeURIComponent(base.pathname.split('/').at(-2)!) || base.host
  return { name, folder: createUrlFolder(base.href, open) }
}

type UrlOpener = (url: string) => Promise<ByteSource | undefined>

/** How files from the web are opened: cached in OPFS, or read from the server. */
function chooseOpener({ cache = 'auto', ...options }: OpenSourceOptions): UrlOpener {
  const { signal, onNote, onProgress, sha256, admit } = options
  const readOnly: UrlOpener = (url) => openUrlSource(url, { signal })
  if (cache === false) return readOnly
  let canKeep = true
  return async (url) => {
    if (!/^https?:/.test(url) || !canKeep) return readOnly(url)
    const wanted = { signal, onProgress, admit, sha256: isGgufUrl(url) ? sha256 : undefined }
    try {
      const kept = await downloadFile(url, wanted)
      return kept && createBlobSource(url, kept.blob)
    } catch (error) {
      if (error instanceof UnreachableError && (await isKnownAbsent(url))) return undefined
      if (cache === true || !(error instanceof NoOpfsError)) throw error
      canKeep = false
      onNote?.(
        `${url}: is read from the server each time, because this browser keeps no files here: ${error.message}`,
      )
      return readOnly(url)
    }
  }
}
