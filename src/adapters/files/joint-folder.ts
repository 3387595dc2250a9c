// The folder of an adapter of several kinds: a folder for each part, which is an adapter as PEFT
// saves it, and a configuration that names them:
//
//     expert/adapter_config.json    { "peft_type": "GRAFT_JOINT", "graft_parts": ["ia3", "prompt-tuning"], … }
//     expert/ia3/                   adapter_config.json, adapter_model.safetensors
//     expert/prompt-tuning/         the same
//
// PEFT refuses the folder, because it has no such type, and loads each part. Independent of how one
// part is read.

import { FormatError } from '../../base/errors.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import type { Adapter } from '../adapter.ts'
import { joinAdapters, splitAdapter } from '../joint/joint-adapters.ts'
import { jointPeftType } from '../kinds/joint/joint-kind.ts'
import type { PeftJson } from '../kinds/kind.ts'
import { adapterKinds } from '../kinds/kind-table.ts'

const partsKey = 'graft_parts'

/**
 * The folders of the parts; undefined if the configuration is of a single adapter. Throws
 * FormatError for unknown kinds.
 */
export function listPartFolders(json: PeftJson, name: string): readonly string[] | undefined {
  if (json['peft_type'] !== jointPeftType) return undefined
  const parts = json[partsKey]
  if (Array.isArray(parts) && parts.length > 1 && parts.every((one) => adapterKinds.has(one)))
    return parts as string[]
  throw new FormatError(
    `${name}: ${partsKey} is ${JSON.stringify(parts)}; expected a list of at least two kinds, each of which has its own folder.`,
  )
}

const toPartFolder = (folder: ByteFolder, part: string): ByteFolder => ({
  name: `${folder.name}/${part}`,
  open: (path) => folder.open(`${part}/${path}`),
})

const toPartSink = (sink: ByteSink, part: string): ByteSink => ({
  name: `${sink.name}/${part}`,
  write: (path, chunks) => sink.write(`${part}/${path}`, chunks),
})

/**
 * Reads the parts of a joint adapter. Throws what `load` throws, and FormatError for a part of
 * another kind.
 */
export async function loadParts(
  folder: ByteFolder,
  parts: readonly string[],
  load: (part: ByteFolder) => Promise<Adapter>,
): Promise<Adapter> {
  const adapters: Adapter[] = []
  for (const part of parts) {
    const adapter = await load(toPartFolder(folder, part))
    if (adapter.kind !== part)
      throw new FormatError(
        `${folder.name}/${part}: is an adapter of kind ${adapter.kind}, expected ${part}.`,
      )
    adapters.push(adapter)
  }
  return joinAdapters(adapters)
}

/** Writes the parts of a joint adapter; its own configuration must be written after them. */
export async function saveParts(
  adapter: Adapter,
  sink: ByteSink,
  save: (part: Adapter, sink: ByteSink) => Promise<void>,
): Promise<void> {
  for (const { text: _text, ...part } of splitAdapter(adapter))
    await save(part, toPartSink(sink, part.kind))
}
