// Adapters in a browser: loaded from URLs, files, OPFS and folders, saved to OPFS and folders, or
// exported as files for a download.

import { type Adapter, checkFinite } from '../adapters/adapter.ts'
import { type AdapterTarget, resolveBase } from '../adapters/create-adapter.ts'
import { loadGgufAdapter } from '../adapters/files/gguf.ts'
import { listPartFolders } from '../adapters/files/joint-folder.ts'
import { loadMlxAdapter } from '../adapters/files/mlx.ts'
import {
  adapterConfigFile,
  getSavedType,
  getTensorFileName,
  isMlxConfig,
  loadAdapter as loadFromFolder,
  loadFolderFields,
  readAdapterConfig,
  saveAdapter as saveToSink,
  type SaveAdapterOptions,
  toSavedAdapter,
} from '../adapters/files/peft.ts'
import { storageTypes } from '../adapters/files/storage.ts'
import { isJointConfig } from '../adapters/kinds/joint/joint-config.ts'
import { OptionError, UnsupportedError } from '../base/errors.ts'
import { checkOptions, unchecked } from '../base/schema.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { sourceFields } from './model.ts'
import { openSource, type OpenSourceOptions, type WebSource } from './sources/open-source.ts'
import {
  createHandleFolder,
  createHandleSink,
  isDirectoryHandle,
  isOpfsPath,
  openOpfsFolder,
  removeEntries,
} from './sources/opfs.ts'

/** `opfs:experts/coder`, a folder that the user has opened, or any sink of bytes. */
export type WebSink = string | FileSystemDirectoryHandle | ByteSink

export interface LoadWebAdapterOptions extends OpenSourceOptions {
  /** The base that the adapter is for; GGUF files and folders of mlx-lm need it. */
  readonly model?: AdapterTarget | undefined
  /** Keeps the tensors of a folder in 8 or 4 bits packed in memory. Default: false. */
  readonly packed?: boolean | undefined
}

const loadFields = {
  ...sourceFields,
  model: unchecked<AdapterTarget>('a model, an open base model or a model’s graph'),
  packed: loadFolderFields.packed,
}

/** A temporary folder while an adapter replaces an earlier one. */
const pendingName = '.graft-pending'

/**
 * Reads an adapter: a folder as PEFT saves it, or for a model also a GGUF file or a folder of
 * mlx-lm, by URL, as Files, a handle or `opfs:…`. Cached in OPFS only with `cache`, because
 * adapters change. Throws NotFoundError, StorageError, FormatError, UnsupportedError, NumericError.
 */
export async function loadAdapter(
  source: WebSource,
  options: LoadWebAdapterOptions = {},
): Promise<Adapter> {
  checkOptions('loadAdapter options', options, loadFields)
  const { model, packed, cache = false, signal, onProgress, onNote, sha256 } = options
  if (typeof source === 'string' && isOpfsPath(source) && !source.endsWith('.gguf'))
    await finishReplacing(await openOpfsFolder(source), source)
  const opened = await openSource(source, { cache, signal, onProgress, onNote, sha256 })
  const adapter =
    'file' in opened
      ? await loadGgufAdapter(opened.file, requireModel(opened.name, 'llama.cpp', model))
      : await loadFolder(opened.folder, { model, packed })
  checkFinite(adapter)
  return adapter
}

async function loadFolder(
  folder: ByteFolder,
  { model, packed }: Pick<LoadWebAdapterOptions, 'model' | 'packed'>,
): Promise<Adapter> {
  if (!isMlxConfig(await readAdapterConfig(folder))) return loadFromFolder(folder, { packed })
  return loadMlxAdapter(folder, requireModel(folder.name, 'mlx-lm', model))
}

function requireModel(name: string, tool: string, model: AdapterTarget | undefined) {
  if (model !== undefined) return resolveBase(model, 'loadAdapter').graph
  throw new UnsupportedError(
    `${name}: is an adapter of ${tool}, which is read for a base: give it as loadAdapter(source, { model }).`,
  )
}

/**
 * Writes an adapter as PEFT does, or in 8 or 4 bits for Graft alone (`dtype`): an existing adapter
 * is replaced atomically. Throws StorageError, and NumericError before anything is written.
 */
export async function saveAdapter(
  adapter: Adapter,
  sink: WebSink,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkFinite(adapter)
  const handle = await openTarget(sink)
  if (!handle) return saveToSink(adapter, sink as ByteSink, options)
  const name = typeof sink === 'string' ? sink : handle.name
  // Of an earlier save: its files must not be mixed with these.
  await finishReplacing(handle, name)
  const stale = new Set(await listAdapterFiles(handle))
  const files = await exportAdapter(adapter, options)
  const pending = await handle.getDirectoryHandle(pendingName, { create: true })
  await writeFiles(files, pending, name)
  await replaceFiles(handle, pending, name)
  const saved = toSavedAdapter(adapter)
  if (isJointConfig(saved.config)) for (const { kind } of saved.config.parts) stale.delete(kind)
  else stale.delete(getTensorFileName(getSavedType(adapter, options)))
  await removeEntries(handle, stale)
}

async function openTarget(sink: WebSink): Promise<FileSystemDirectoryHandle | undefined> {
  if (isDirectoryHandle(sink)) return sink
  if (typeof sink === 'string') return openOpfsFolder(sink, { create: true })
  if (typeof (sink as ByteSink | undefined)?.write === 'function') return undefined
  throw new OptionError(
    'saveAdapter: expected opfs: and a path, a handle of a folder, or a sink of bytes. For a download, take exportAdapter(adapter).',
  )
}

async function writeFiles(
  files: ReadonlyMap<string, Uint8Array>,
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<void> {
  const sink = createHandleSink(folder, name)
  for (const [path, bytes] of files) if (path !== adapterConfigFile) await sink.write(path, [bytes])
  // Last, because a folder that has it is complete.
  await sink.write(adapterConfigFile, [files.get(adapterConfigFile)!])
}

/** Copies the files of a whole folder, the configuration last, and removes that folder. */
async function replaceFiles(
  folder: FileSystemDirectoryHandle,
  pending: FileSystemDirectoryHandle,
  name: string,
): Promise<void> {
  const files = new Map<string, Uint8Array>()
  await readFiles(pending, '', files)
  await writeFiles(files, folder, name)
  await removeEntries(folder, [pendingName])
}

async function readFiles(
  folder: FileSystemDirectoryHandle,
  before: string,
  files: Map<string, Uint8Array>,
): Promise<void> {
  for await (const entry of folder.values()) {
    const path = `${before}${entry.name}`
    if (entry instanceof FileSystemDirectoryHandle) await readFiles(entry, `${path}/`, files)
    else if (entry instanceof FileSystemFileHandle)
      files.set(path, new Uint8Array(await (await entry.getFile()).arrayBuffer()))
  }
}

/** Completes or reverts the replacement of an adapter during which a tab was closed. */
async function finishReplacing(
  folder: FileSystemDirectoryHandle | undefined,
  name: string,
): Promise<void> {
  const pending = await folder?.getDirectoryHandle(pendingName).catch(() => undefined)
  if (!folder || !pending) return
  // A file is created empty, and gets its bytes all at once when its stream is closed.
  const isWhole = await pending.getFileHandle(adapterConfigFile).then(
    async (file) => (await file.getFile()).size > 0,
    () => false,
  )
  if (isWhole) await replaceFiles(folder, pending, name)
  else await removeEntries(folder, [pendingName])
}

/** Names of the files that an adapter may have in a folder in addition to its configuration. */
async function listAdapterFiles(folder: FileSystemDirectoryHandle): Promise<readonly string[]> {
  const files = storageTypes.map(getTensorFileName)
  try {
    const json = await readAdapterConfig(createHandleFolder(folder, folder.name))
    return [...files, ...(listPartFolders(json, folder.name) ?? [])]
  } catch {
    return files // a missing or invalid configuration is replaced
  }
}

/** Removes an adapter from a folder that may hold other files too. */
export async function removeAdapter(folder: FileSystemDirectoryHandle): Promise<void> {
  await removeEntries(folder, [adapterConfigFile, pendingName, ...(await listAdapterFiles(folder))])
}

/**
 * The files of an adapter in PEFT's layout, by path: for a download, an upload, or
 * `registry.add(files)`.
 */
export async function exportAdapter(
  adapter: Adapter,
  options: SaveAdapterOptions = {},
): Promise<Map<string, Uint8Array>> {
  checkFinite(adapter)
  const files = new Map<string, Uint8Array>()
  await saveToSink(
    adapter,
    {
      name: 'the export',
      async write(path, chunks) {
        const parts: Uint8Array<ArrayBuffer>[] = []
        for await (const chunk of chunks) parts.push(chunk.slice())
        files.set(path, new Uint8Array(await new Blob(parts).arrayBuffer()))
      },
    },
    options,
  )
  return files
}

/** The adapter of files by path, as `exportAdapter` returns them. */
export const importAdapter = (
  files: ReadonlyMap<string, Uint8Array>,
  options: LoadWebAdapterOptions = {},
): Promise<Adapter> =>
  loadAdapter(
    {
      name: 'the files',
      async open(path) {
        const bytes = files.get(path)
        return bytes && createMemorySource(path, bytes)
      },
    },
    options,
  )
