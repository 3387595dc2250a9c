// Loads adapters from directories and saves them to directories.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Adapter, checkFinite } from '../adapters/adapter.ts'
import {
  getTensorFileName,
  loadAdapter as loadFromFolder,
  saveAdapter as saveToSink,
  type SaveAdapterOptions,
} from '../adapters/files/peft.ts'
import { storageTypes } from '../adapters/files/storage.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'

/**
 * Reads an adapter folder as PEFT saves it. Throws NotFoundError, FormatError, UnsupportedError (a
 * setting that would change the result and is not supported), NumericError for weights that are NaN
 * or infinite.
 */
export async function loadAdapter(source: string | ByteFolder): Promise<Adapter> {
  const adapter = await loadFromFolder(
    typeof source === 'string' ? await openDirectory(source) : source,
  )
  checkFinite(adapter)
  return adapter
}

/**
 * Writes an adapter as PEFT does, or in 8 or 4 bits for Graft alone (`dtype`); each file appears
 * whole or not at all, and a directory is left with one file of tensors. Throws StorageError, and
 * NumericError before anything is written.
 */
export async function saveAdapter(
  adapter: Adapter,
  sink: string | ByteSink,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkFinite(adapter)
  if (typeof sink !== 'string') return saveToSink(adapter, sink, options)
  await saveToSink(adapter, createFileSink(sink), options)
  const own = getTensorFileName(options.dtype)
  const others = new Set(storageTypes.map(getTensorFileName))
  others.delete(own)
  await Promise.all([...others].map((name) => rm(join(sink, name), { force: true })))
}
