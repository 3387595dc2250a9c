// Adapters by path: what graftlm reads from byte folders and writes to byte sinks, from and to directories.

import * as adapters from '../adapters/index.ts'
import type { Adapter } from '../adapters/index.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import { fileSink } from './file-sink.ts'
import { directoryFolder } from './folder.ts'

/**
 * Reads an adapter folder as PEFT saves it. Throws NotFoundError, FormatError, UnsupportedError (a setting that would change the result and is
 * not supported), NumericError for weights that are NaN or infinite.
 */
export async function loadAdapter(source: string | ByteFolder): Promise<Adapter> {
  const adapter = await adapters.loadAdapter(typeof source === 'string' ? await directoryFolder(source) : source)
  adapters.checkFinite(adapter)
  return adapter
}

/** Writes an adapter as PEFT does; each file appears whole or not at all. Throws StorageError, and NumericError before anything is written. */
export async function saveAdapter(adapter: Adapter, sink: string | ByteSink): Promise<void> {
  adapters.checkFinite(adapter)
  await adapters.saveAdapter(adapter, typeof sink === 'string' ? fileSink(sink) : sink)
}
