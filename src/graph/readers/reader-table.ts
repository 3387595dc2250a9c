// The layouts of base models, by the key of the source with their bytes.

import { OptionError } from '../../base/errors.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import type { BaseModelParts } from './base-model-reader.ts'
import { folderReader } from './folder-reader.ts'
import { ggufReader } from './gguf-reader.ts'

/** A name to show, and a Hugging Face folder or a GGUF file. */
export type BaseModelSource =
  | { readonly name: string; readonly folder: ByteFolder }
  | { readonly name: string; readonly gguf: ByteSource }

export const baseModelReaders = { folder: folderReader, gguf: ggufReader } as const

/** Reads the parts with the reader of the source's layout. Throws OptionError if it has none. */
export function readBaseModelParts(source: BaseModelSource): Promise<BaseModelParts> {
  const bytes = new Map<string, unknown>(Object.entries(source))
  for (const [layout, reader] of Object.entries(baseModelReaders))
    if (bytes.get(layout)) return reader.read(bytes.get(layout) as ByteFolder & ByteSource)
  const layouts = Object.keys(baseModelReaders).join(' or ')
  throw new OptionError(`Model "${source.name}": the source has no bytes, expected ${layouts}.`)
}
