// Adapters by path: what graftlm reads from byte folders and writes to byte sinks, from and to
// directories.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as adapters from '../adapters/index.ts'
import type { Adapter, SaveAdapterOptions } from '../adapters/index.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'

/**
 * Reads an adapter folder as PEFT saves it. Throws NotFoundError, FormatError, UnsupportedError (a
 * setting that would change the result and is not supported), NumericError for weights that are NaN
 * or infinite.
 */
export async function loadAdapter(source: string | ByteFolder): Promise<Adapter> {
  const adapter = await adapters.loadAdapter(
    typeof source === 'string' ? await openDirectory(source) : source,
  )
  adapters.checkFinite(adapter)
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
  adapters.checkFinite(adapter)
  if (typeof sink !== 'string') return adapters.saveAdapter(adapter, sink, options)
  await adapters.saveAdapter(adapter, createFileSink(sink), options)
  const own = adapters.getTensorFileName(options.dtype)
  const others = new Set(adapters.storageTypes.map(adapters.getTensorFileName))
  others.delete(own)
  await Promise.all([...others].map((name) => rm(join(sink, name), { force: true })))
}
