// Reads and writes PEFT's adapter folders: adapter_config.json and adapter_model.safetensors.
// Saving keeps the keys that were loaded. Folders in 8 or 4 bits have a different peft_type and
// file name, so that PEFT, which cannot read them, refuses them.

import { FormatError, NotFoundError, OptionError, UnsupportedError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { BlockCodeName } from '../../formats/block-code.ts'
import type { ByteFolder, ByteSink, ByteSource } from '../../formats/byte-source.ts'
import { refuseLfsPointer } from '../../formats/lfs-pointer.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import type { Adapter, AdapterMetadata } from '../adapter.ts'
import { joinAdapters, splitAdapter } from '../joint/joint-adapters.ts'
import {
  checkOptions,
  describeValue,
  flag,
  isRecord,
  joinProblems,
  oneOf,
} from '../../base/schema.ts'
import { isJointConfig } from '../kinds/joint/joint-config.ts'
import type { PeftJson } from '../kinds/kind.ts'
import { getKind, getPeftKind } from '../kinds/kind-table.ts'
import { readAdapterText, writeAdapterText } from './adapter-text.ts'
import { fromFileKeys, listSavedEmbeddings, toFileKeys, toPeftKeys } from './adapter-keys.ts'
import { addTiedCopies, dropTiedCopies, readBlockTying, writeBlockTying } from './tied-copies.ts'
import { getBlockMark, splitBlockMark } from './block-mark.ts'
import { listPartFolders, loadParts, saveParts } from './joint-folder.ts'
import { PackedTensorMap } from '../packed/tensor-map.ts'
import {
  isBlockStorage,
  encodeAdapterTensors,
  getPackedType,
  readHeldTensors,
  unpackTensors,
  storageTypes,
  type StorageType,
} from './storage.ts'

/** The configuration of an adapter; it is written last. */
export const adapterConfigFile = 'adapter_config.json'
const tensorFile = 'adapter_model.safetensors'
const torchFile = 'adapter_model.bin'

/**
 * The file with an adapter's tensors: 'adapter_model.safetensors',
 * 'adapter_model.int4.safetensors'.
 */
export const getTensorFileName = (dtype?: StorageType): string =>
  dtype !== undefined && isBlockStorage(dtype) ? `adapter_model.${dtype}.safetensors` : tensorFile

export interface LoadFolderOptions {
  /**
   * Keeps tensors in 8 and 4 bits packed in memory, as views of the file's bytes, instead of
   * converting them to f32: the result is a `PackedAdapter`. Has no effect on folders of other
   * types. Default: false.
   */
  readonly packed?: boolean | undefined
}

export const loadFolderFields = { packed: flag() }

/**
 * Reads an adapter as PEFT saves it; tensors keep their element types, and those in 8 or 4 bits
 * become f32 (or stay packed: `packed`). Throws NotFoundError for a missing file, FormatError for a
 * corrupt one, UnsupportedError for another kind, for settings that are not supported, and for
 * weights in torch's own format.
 */
export async function loadAdapter(
  folder: ByteFolder,
  options: LoadFolderOptions = {},
): Promise<Adapter> {
  checkOptions('loadAdapter options', options, loadFolderFields)
  const { json, blocks } = splitBlockMark(await readAdapterConfig(folder))
  const parts = listPartFolders(json, `${folder.name}/${adapterConfigFile}`)
  if (parts) {
    const joint = await loadParts(folder, parts, (part) => loadAdapter(part))
    const ownText = await readAdapterText(folder)
    return ownText ? { ...joint, text: ownText } : joint
  }
  if (isMlxConfig(json))
    throw new UnsupportedError(
      `${folder.name}: is an adapter of mlx-lm; read it with loadMlxAdapter, which needs the model.`,
    )
  const kind = getPeftKind(json, `${folder.name}/${adapterConfigFile}`)
  const config = kind.readConfig(json, `${folder.name}/${adapterConfigFile}`)
  const fileName = getTensorFileName(blocks)
  const place = `${folder.name}/${fileName}`
  const { tensors, metadata } = readHeldTensors(
    await readAdapterFile(folder, fileName),
    blocks,
    place,
  )
  const own = fromFileKeys(kind.name, toPeftKeys(tensors, place))
  const held = blocks
    ? {
        config: readBlockTying(config, json),
        tensors: options.packed
          ? new PackedTensorMap(own, blocks === 'int8' ? 8 : 4)
          : unpackTensors(own),
      }
    : dropTiedCopies({ kind: kind.name, config, tensors: unpackTensors(own) }, place)
  const baseModel = json['base_model_name_or_path']
  const embeddings = listSavedEmbeddings(held.tensors.keys(), held.config)
  const text = await readAdapterText(folder)
  return {
    kind: kind.name,
    config: embeddings.length > 0 ? { ...held.config, embeddings } : held.config,
    tensors: held.tensors,
    ...(typeof baseModel === 'string' ? { baseModel } : {}),
    ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
    ...(text && { text }),
  }
}

/** Whether a configuration is mlx-lm's. */
export const isMlxConfig = (json: PeftJson): boolean =>
  !('peft_type' in json) && isRecord(json['lora_parameters'])

/** The folder's adapter_config.json. */
export async function readAdapterConfig(folder: ByteFolder): Promise<PeftJson> {
  const source = await folder.open(adapterConfigFile)
  if (!source) {
    const isUnfinished = (await folder.open('expert.json')) !== undefined
    throw new NotFoundError(
      isUnfinished
        ? `${folder.name}: has expert.json but no ${adapterConfigFile}, because its training has not ended. Continue it (graft train --resume), or use its last checkpoint, ${folder.name}/checkpoints/last, if there is one.`
        : `${folder.name}: has no ${adapterConfigFile}; an adapter is a folder as PEFT saves it.`,
    )
  }
  let json: unknown
  try {
    await refuseLfsPointer(source)
    json = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.sizeBytes)),
    )
  } catch (cause) {
    if (cause instanceof FormatError) throw cause
    throw new FormatError(`${source.name}: is not JSON.`, { cause })
  } finally {
    await source.close?.()
  }
  if (!isRecord(json)) throw new FormatError(`${source.name}: is not a JSON object.`)
  return json
}

/** All tensors of a file of the folder, in the types they have there. */
export const readAdapterTensors = async (
  folder: ByteFolder,
  fileName = tensorFile,
): Promise<Map<string, Tensor>> => (await readAdapterFile(folder, fileName)).tensors

/**
 * The same with the header's strings, except `format`, which names the library that wrote the file.
 */
async function readAdapterFile(
  folder: ByteFolder,
  fileName = tensorFile,
): Promise<{ tensors: Map<string, Tensor>; metadata: AdapterMetadata }> {
  const source = await folder.open(fileName)
  if (!source) {
    const torch = fileName === tensorFile ? await folder.open(torchFile) : undefined
    await torch?.close?.()
    if (!torch) throw new NotFoundError(`${folder.name}: has no ${fileName}.`)
    throw new UnsupportedError(
      `${folder.name}: its weights are in ${torchFile}, which only torch can read safely. Convert it in Python: ` +
        `from safetensors.torch import save_file; import torch; save_file(torch.load("${torchFile}", weights_only=True), "${tensorFile}")`,
    )
  }
  const store = await openSafetensors(await loadIntoMemory(source))
  try {
    const tensors = new Map<string, Tensor>()
    for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
    const { format: _format, ...metadata } = store.metadata as AdapterMetadata
    return { tensors, metadata }
  } finally {
    await store.close()
  }
}

// bytes; a larger file, such as one with whole embeddings, is read tensor by tensor
const largestRead = 1 << 28

/**
 * The file's content read at once: separate reads of hundreds of small tensors take several times
 * as long.
 */
async function loadIntoMemory(source: ByteSource): Promise<ByteSource> {
  if (source.sizeBytes > largestRead) return source
  try {
    return createMemorySource(source.name, await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

export interface SaveAdapterOptions {
  /**
   * Element type of the tensors in the file; default: the adapter's own, f32 for one that is packed
   * in 16 bits. PEFT cannot read 'int8' and 'int4'.
   */
  readonly dtype?: StorageType | undefined
}

/**
 * Writes an adapter as PEFT does. Each file is written atomically, the configuration last: a folder
 * that has one is complete. Throws NumericError, before anything is written, for values that the
 * type cannot hold.
 */
export async function saveAdapter(
  given: Adapter,
  sink: ByteSink,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkOptions('saveAdapter options', options, { dtype: oneOf(storageTypes) })
  checkMetadata(given)
  const saved = toSavedAdapter(given)
  if (isJointConfig(saved.config)) {
    await saveParts(saved, sink, (part, place) => saveAdapter(part, place, options))
    if (saved.text) await writeAdapterText(saved.text, sink)
    return writeAdapterConfig(saved, sink)
  }
  const dtype = options.dtype ?? getPackedType(saved)
  const blocks = dtype !== undefined && isBlockStorage(dtype) ? dtype : undefined
  const adapter = blocks ? saved : addTiedCopies(saved)
  const { tensors, metadata } =
    dtype === undefined
      ? { tensors: adapter.tensors, metadata: {} }
      : encodeAdapterTensors(adapter, dtype)
  const chunks = encodeSafetensors(toFileKeys(adapter.kind, tensors), {
    format: blocks ? 'graft' : 'pt',
    ...adapter.metadata,
    ...metadata,
  })
  await sink.write(getTensorFileName(blocks), chunks)
  if (adapter.text) await writeAdapterText(adapter.text, sink)
  await writeAdapterConfig(adapter, sink, blocks)
}

const writeAdapterConfig = (
  adapter: Adapter,
  sink: ByteSink,
  blocks?: BlockCodeName,
): Promise<void> =>
  sink.write(adapterConfigFile, [new TextEncoder().encode(stringifyAdapterConfig(adapter, blocks))])

/** The type in which `saveAdapter` writes an adapter; undefined: each tensor's own type. */
export const getSavedType = (
  adapter: Adapter,
  { dtype }: SaveAdapterOptions,
): StorageType | undefined => dtype ?? getPackedType(toSavedAdapter(adapter))

/** Throws OptionError for metadata that the header of a tensor file cannot hold. */
function checkMetadata({ metadata }: Adapter): void {
  if (metadata === undefined) return
  const problems = isRecord(metadata)
    ? Object.entries(metadata).flatMap(([key, value]: [string, unknown]) =>
        typeof value === 'string'
          ? []
          : [`metadata.${key}: got ${describeValue(value)}, expected a string`],
      )
    : [`metadata: got ${describeValue(metadata)}, expected an object of strings`]
  if (problems.length > 0)
    throw new OptionError(`The adapter cannot be saved: ${joinProblems(problems)}`)
}

/** The adapter as its files hold it: a PiSSA or OLoRA becomes a plain LoRA. */
export function toSavedAdapter(adapter: Adapter): Adapter {
  if (isJointConfig(adapter.config)) return joinAdapters(splitAdapter(adapter).map(toSavedAdapter))
  const saved = getKind(adapter.kind).savedAs?.(adapter.config, adapter.tensors)
  return saved ? { ...adapter, ...saved } : adapter
}

/** adapter_config.json: keys sorted, two spaces, as PEFT writes it. */
export function stringifyAdapterConfig(
  { kind, config, baseModel }: Adapter,
  blocks?: BlockCodeName,
): string {
  const row = getKind(kind)
  const own = row.writeConfig(config)
  const json: PeftJson = {
    inference_mode: true,
    ...own,
    ...(blocks && writeBlockTying(config, own)),
    peft_type: (blocks ? getBlockMark(blocks) : '') + row.peftType,
    ...(baseModel === undefined ? {} : { base_model_name_or_path: baseModel }),
  }
  const keys = Object.keys(json).sort()
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, json[key]])), null, 2)
}
