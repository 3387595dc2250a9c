// Adapters on disk in any format, located before their base is open: their metadata, the base that
// they name, and reading them for it.

import type { Adapter } from '../adapters/adapter.ts'
import type { AdapterTarget } from '../adapters/create-adapter.ts'
import { baseHashKey } from '../adapters/base-copy.ts'
import { decodeGgufMetadata } from '../adapters/files/gguf-metadata.ts'
import { OptionError } from '../base/errors.ts'
import { openGguf } from '../formats/gguf/reader.ts'
import { type AdapterSource, findAdapterSource } from './adapter-source.ts'
import { loadAdapter } from './adapters.ts'
import { openFileSource } from './files/file-source.ts'
import { type ExpertMetadata, readExpertMetadata } from './expert/expert-notes.ts'
import { getBaseSource } from './models/base-name.ts'

export interface LocatedAdapter {
  /** The path or name that was given. */
  readonly path: string
  readonly source: AdapterSource
  /** expert.json or graft.json, where its folder has one. */
  readonly notes: ExpertMetadata | undefined
  /** The adapter, where its format is read without a base. */
  readonly adapter: Adapter | undefined
  readonly kind: string
  /** Its own base, as `loadModel` takes it; undefined if its files name none. */
  readonly base: string | undefined
}

/**
 * Finds an adapter, and reads it where its format needs no base. Throws what `loadAdapter` throws.
 */
export async function locateAdapter(path: string): Promise<LocatedAdapter> {
  const source = await findAdapterSource(path)
  const adapter = source.format === 'peft' ? await loadAdapter(source.path) : undefined
  const notes = await readExpertMetadata(source.path)
  const own = adapter ? adapter.baseModel : await readGgufBase(source)
  const named = source.base ?? (notes?.base === undefined ? own : undefined)
  return {
    path,
    source,
    notes,
    adapter,
    kind: adapter?.kind ?? source.kind ?? 'lora',
    base: named === undefined || named === '' ? notes?.base : getBaseSource(named),
  }
}

async function readGgufBase({ format, path }: AdapterSource): Promise<string | undefined> {
  if (format !== 'gguf') return undefined
  const file = await openGguf(await openFileSource(path))
  try {
    return decodeGgufMetadata(file).baseModel
  } finally {
    await file.close()
  }
}

/** The adapter, read for this base where its format needs one. Throws what `loadAdapter` throws. */
export const readLocatedAdapter = async (
  { adapter, source, notes }: LocatedAdapter,
  model: AdapterTarget,
): Promise<Adapter> => withTaughtBase(adapter ?? (await loadAdapter(source.path, { model })), notes)

/** With the hash of the base that its manifest names, where its own files name none. */
function withTaughtBase(adapter: Adapter, notes: ExpertMetadata | undefined): Adapter {
  const sha256 = notes?.manifest?.base.sha256
  if (sha256 === undefined || adapter.metadata?.[baseHashKey] !== undefined) return adapter
  const metadata = Object.assign({}, adapter.metadata, { [baseHashKey]: sha256 })
  return { ...adapter, metadata }
}

/**
 * The base that adapters are read for: the given one, else the one that they name, if a format
 * needs one. Throws OptionError if they name none or several.
 */
export function resolveReadingBase(
  located: readonly LocatedAdapter[],
  given: string | undefined,
): string | undefined {
  const waiting = located.filter(({ adapter }) => !adapter).map(({ path }) => path)
  if (given !== undefined || waiting.length === 0) return given
  const named = [...new Set(located.flatMap(({ base }) => base ?? []))]
  if (named.length === 1) return named[0]
  const found =
    named.length === 0 ? 'it is not clear which' : `the adapters name ${named.join(' and ')}`
  throw new OptionError(
    `${waiting.join(', ')}: files of llama.cpp and mlx-lm are read for a base, because names and order of rows depend on it, and ${found}. Name it (--model; in a program: base).`,
  )
}
