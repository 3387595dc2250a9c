// Loads adapters from directories and saves them to directories.

import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Adapter, checkFinite } from '../adapters/adapter.ts'
import { type AdapterTarget, resolveBase } from '../adapters/create-adapter.ts'
import { loadGgufAdapter } from '../adapters/files/gguf.ts'
import { listPartFolders } from '../adapters/files/joint-folder.ts'
import { loadMlxAdapter } from '../adapters/files/mlx.ts'
import {
  adapterConfigFile,
  getSavedType,
  getTensorFileName,
  loadAdapter as loadFromFolder,
  loadFolderFields,
  saveAdapter as saveToSink,
  type SaveAdapterOptions,
  toSavedAdapter,
} from '../adapters/files/peft.ts'
import { isJointConfig } from '../adapters/kinds/joint/joint-config.ts'
import type { PeftJson } from '../adapters/kinds/kind.ts'
import { storageTypes } from '../adapters/files/storage.ts'
import { OptionError, UnsupportedError } from '../base/errors.ts'
import { checkOptions, unchecked } from '../base/schema.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { createFileSink } from './files/file-sink.ts'
import { findAdapterSource } from './adapter-source.ts'
import { openFileSource } from './files/file-source.ts'
import { openDirectory } from './files/folder.ts'
import { finishReplacing, replaceTogether } from './files/replace-together.ts'
import { describeOwnText } from './own-text.ts'

export interface LoadAdapterOptions {
  /** The base it is read for, which GGUF files and folders of mlx-lm need. */
  readonly model?: AdapterTarget | undefined
  /**
   * Keeps the tensors of a folder in 8 or 4 bits packed in memory (`PackedAdapter`); has no effect
   * on other adapters. Default: false.
   */
  readonly packed?: boolean | undefined
  /**
   * Called with a sentence if the adapter's folder has a tokenizer or chat template that differs
   * from the model's; it is used instead of the model's. Needs a `model` to compare with.
   */
  readonly onNote?: ((note: string) => void) | undefined
}

const loadFields = {
  model: unchecked('a model, an open base model or a model’s graph'),
  packed: loadFolderFields.packed,
  onNote: unchecked<NonNullable<LoadAdapterOptions['onNote']>>('a function'),
}

/**
 * Reads an adapter: a folder as PEFT saves it, or for a model also a GGUF file, a folder of mlx-lm
 * or a Modelfile that names one of these. Throws NotFoundError, FormatError, UnsupportedError (a
 * setting that would change the result and is not supported), NumericError for weights that are NaN
 * or infinite.
 */
export async function loadAdapter(
  source: string | ByteFolder,
  options: LoadAdapterOptions = {},
): Promise<Adapter> {
  checkOptions('loadAdapter options', options, loadFields)
  if (options.onNote && options.model === undefined)
    throw new OptionError(
      'loadAdapter options: onNote: needs model, which texts are compared with.',
    )
  const adapter = await (typeof source === 'string'
    ? loadFromPath(source, options)
    : loadFromFolder(source, { packed: options.packed }))
  checkFinite(adapter)
  reportOwnText(adapter, typeof source === 'string' ? source : source.name, options)
  return adapter
}

/** Reports a tokenizer or chat template of the adapter's folder that differs from the model's. */
function reportOwnText(
  { text }: Adapter,
  name: string,
  { model, onNote }: LoadAdapterOptions,
): void {
  if (!onNote || model === undefined) return
  const base = resolveBase(model, 'loadAdapter')
  if (!base.weights)
    throw new OptionError(
      'loadAdapter options: onNote: needs a model or an open base model, because a graph has no texts.',
    )
  for (const note of describeOwnText(text, base as Partial<BaseModel>)) onNote(`${name}: ${note}.`)
}

async function loadFromPath(
  source: string,
  { model, packed }: LoadAdapterOptions,
): Promise<Adapter> {
  const { format, path } = await findAdapterSource(source)
  if (format === 'peft') {
    await finishReplacing(path, adapterConfigFile)
    return loadFromFolder(await openDirectory(path), { packed })
  }
  if (model === undefined)
    throw new UnsupportedError(
      `${path}: is an adapter of ${format === 'gguf' ? 'llama.cpp' : 'mlx-lm'}, which is read for a base: give it as loadAdapter(path, { model }), or write a PEFT folder with graft convert.`,
    )
  const { graph } = resolveBase(model, 'loadAdapter')
  return format === 'gguf'
    ? loadGgufAdapter(await openFileSource(path), graph)
    : loadMlxAdapter(await openDirectory(path), graph)
}

/**
 * Writes an adapter as PEFT does, or in 8 or 4 bits for Graft alone (`dtype`). Each file is written
 * atomically, an old adapter is replaced as a whole, and the directory is left with one file of
 * tensors. Throws StorageError, and
 * NumericError before anything is written.
 */
export async function saveAdapter(
  adapter: Adapter,
  sink: string | ByteSink,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkFinite(adapter)
  if (typeof sink !== 'string') return saveToSink(adapter, sink, options)
  const stale = new Set(await listAdapterFiles(sink))
  await replaceTogether(sink, adapterConfigFile, (place) =>
    saveToSink(adapter, createFileSink(place), options),
  )
  const saved = toSavedAdapter(adapter)
  if (isJointConfig(saved.config)) for (const { kind } of saved.config.parts) stale.delete(kind)
  else stale.delete(getTensorFileName(getSavedType(adapter, options)))
  await removeAll(sink, stale)
}

const removeAll = async (folder: string, names: Iterable<string>): Promise<void> =>
  void (await Promise.all(
    [...names].map((name) => rm(join(folder, name), { recursive: true, force: true })),
  ))

/**
 * Names that an adapter may have in a folder besides its configuration: files of tensors, and the
 * folders of parts that the configuration names.
 */
async function listAdapterFiles(folder: string): Promise<readonly string[]> {
  const files = storageTypes.map(getTensorFileName)
  const known = await readFile(join(folder, adapterConfigFile), 'utf8').catch(() => '{}')
  try {
    return [...files, ...(listPartFolders(JSON.parse(known) as PeftJson, folder) ?? [])]
  } catch {
    return files // a broken configuration is replaced
  }
}

/** Removes an adapter from a folder that may hold other files too. */
export async function removeAdapter(folder: string): Promise<void> {
  await removeAll(folder, [...(await listAdapterFiles(folder)), adapterConfigFile])
}
