// A GGUF file's tensors as a Hugging Face checkpoint would hold them: names, order of query and key
// rows, norms. Metadata is not changed; its parts about model and tokenizer are read elsewhere.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../convert.ts'
import { joinProblems, quoteName } from '../quote.ts'
import type { GgufFile, GgufTensorInfo } from './types.ts'
import {
  derivedTensors,
  type GgufArchitecture,
  ggufArchitectures,
  globalModules,
} from './architectures.ts'
import { countChangedBytes } from './delta-tensors.ts'
import { interleaveRotaryRows, splitRotaryRows } from '../rotary-rows.ts'
import { getEntry, type TensorInfo, type TensorStore } from '../tensor-store.ts'

const layerPattern = /^blk\.(0|[1-9]\d*)\.([\w.]+)\.(weight|bias)$/

/** Name of a Hugging Face tensor in a GGUF file, and how it changes when written and read. */
export interface GgufTensorMapping extends TensorInfo {
  readonly ggmlName: string
  /** The file's tensor as Hugging Face has it. */
  readonly restore: (tensor: Tensor) => Tensor
  /** The reverse. */
  readonly arrange: (tensor: Tensor) => Tensor
}

/**
 * The file as a store of Hugging Face names. Throws UnsupportedError for an architecture that is
 * not in the table and for tensors that have no place in it (all listed), FormatError if head
 * counts are missing or do not fit the rows.
 */
export function toHuggingFaceStore(file: GgufFile): TensorStore {
  const tensors = mapGgufTensors(file)
  return {
    name: file.name,
    tensors,
    metadata: Object.fromEntries(file.metadata),
    read: async (name, take) => {
      const { ggmlName, restore } = getEntry(tensors, name, file.name)
      return restore(await file.read(ggmlName, take))
    },
    close: () => file.close(),
  }
}

/**
 * By Hugging Face name, every tensor of the file that is also in a checkpoint. Throws as
 * `toHuggingFaceStore` does.
 */
export function mapGgufTensors(file: GgufFile): Map<string, GgufTensorMapping> {
  const { name: architectureName, architecture } = readGgufArchitecture(file)
  const places = new Map<string, GgufTensorMapping>()
  const strangers: string[] = []
  for (const [ggmlName, info] of file.tensors) {
    if (derivedTensors.has(ggmlName)) continue
    const name = toHuggingFaceName(ggmlName, architectureName)
    if (name === undefined) strangers.push(quoteName(ggmlName))
    else places.set(name, mapTensor(file, architecture, ggmlName, info))
  }
  if (strangers.length > 0) {
    throw new UnsupportedError(
      `${file.name}: architecture "${architectureName}" has no place for the tensors:\n${joinProblems(strangers)}`,
    )
  }
  return places
}

/**
 * The architecture of a file. Throws FormatError if it names none, UnsupportedError for one that is
 * not in the table.
 */
export function readGgufArchitecture(file: GgufFile): {
  name: string
  architecture: GgufArchitecture
} {
  const name = file.metadata.get('general.architecture')
  if (typeof name !== 'string')
    throw new FormatError(`${file.name}: the metadata does not say "general.architecture".`)
  return { name, architecture: getArchitecture(name, file.name) }
}

function getArchitecture(name: string, where: string): GgufArchitecture {
  const architecture = Object.hasOwn(ggufArchitectures, name) ? ggufArchitectures[name] : undefined
  if (architecture) return architecture
  const known = Object.keys(ggufArchitectures).join(', ')
  throw new UnsupportedError(
    `${where}: the GGUF architecture ${quoteName(name)} is not supported; supported: ${known}.`,
  )
}

/**
 * The Hugging Face name of a ggml tensor, undefined if the architecture has none. Throws
 * UnsupportedError for an unknown architecture.
 */
export function toHuggingFaceName(name: string, architecture = 'llama'): string | undefined {
  const { layer, global = globalModules, bare = {} } = getArchitecture(architecture, name)
  const [, number, own] = /^blk\.(0|[1-9]\d*)\.(.+)$/.exec(name) ?? []
  if (number !== undefined && Object.hasOwn(bare, own!))
    return `model.layers.${number}.${bare[own!]}`
  const [, index, part, kind] = layerPattern.exec(name) ?? []
  if (index !== undefined)
    return Object.hasOwn(layer, part!) ? `model.layers.${index}.${layer[part!]}.${kind}` : undefined
  const [module, ending] = splitEnding(name)
  return ending && Object.hasOwn(global, module) ? global[module] + ending : undefined
}

/**
 * The ggml name of a Hugging Face tensor, or of a module where `name` ends in neither `.weight` nor
 * `.bias`; undefined if llama.cpp has none. Adapters append `.lora_a` and `.lora_b` to the weight's
 * name.
 */
export function toGgufName(name: string, architecture = 'llama'): string | undefined {
  const { layer, global = globalModules, bare = {} } = getArchitecture(architecture, name)
  const [, number, own] = /^model\.layers\.(0|[1-9]\d*)\.(.+)$/.exec(name) ?? []
  const plain = number === undefined ? undefined : findKey(bare, own!)
  if (plain !== undefined) return `blk.${number}.${plain}`
  const [module, ending] = splitEnding(name)
  const [, index, part] = /^model\.layers\.(0|[1-9]\d*)\.(.+)$/.exec(module) ?? []
  if (index === undefined) {
    const outside = findKey(global, module)
    return outside && outside + ending
  }
  const inLayer = findKey(layer, part!)
  return inLayer && `blk.${index}.${inLayer}${ending}`
}

function splitEnding(name: string): [module: string, ending: string] {
  const ending = ['.weight', '.bias'].find((end) => name.endsWith(end)) ?? ''
  return [name.slice(0, name.length - ending.length), ending]
}

const findKey = (table: Readonly<Record<string, string>>, value: string): string | undefined =>
  Object.keys(table).find((key) => table[key] === value)

function mapTensor(
  file: GgufFile,
  architecture: GgufArchitecture,
  ggmlName: string,
  info: GgufTensorInfo,
): GgufTensorMapping {
  const { type, shape, sizeBytes } = info
  const [, index, part = /^blk\.\d+\.(\w+)$/.exec(ggmlName)?.[1] ?? ''] =
    layerPattern.exec(ggmlName) ?? []
  const change = architecture.findChange?.(file, part, info)
  if (change) {
    const bytes = countChangedBytes(change, info)
    return { dtype: type, shape, ...change, sizeBytes: bytes, ggmlName }
  }
  if (architecture.interleavedRotary && (part === 'attn_q' || part === 'attn_k')) {
    const heads = readHeadCount(file, part, Number(index))
    const rows = shape[0] ?? 1
    if (heads === undefined || rows % (2 * heads) !== 0) {
      throw new FormatError(
        `${file.name}: ${quoteName(ggmlName)}: got ${rows} rows, expected ${heads ?? 'an unknown number of'} heads of an even width.`,
      )
    }
    const [restore, arrange] = [splitRotaryRows, interleaveRotaryRows].map(
      (reorder) => (tensor: Tensor) => reorder(tensor, heads),
    )
    return { dtype: type, shape, sizeBytes, ggmlName, restore: restore!, arrange: arrange! }
  }
  const { normOffset, plainNorms = [] } = architecture
  if (normOffset !== 0 && ggmlName.endsWith('norm.weight') && !plainNorms.includes(part)) {
    const shifted =
      (by: number) =>
      (tensor: Tensor): Tensor =>
        f32(
          shape,
          toFloat32(tensor).map((value) => value + by),
        )
    return {
      dtype: 'f32',
      shape,
      sizeBytes: 4 * sizeOf(shape),
      ggmlName,
      restore: shifted(-normOffset),
      arrange: shifted(normOffset),
    }
  }
  if (architecture.convolutions?.includes(part) && shape.length === 2) {
    const shaped =
      (to: readonly number[]) =>
      (tensor: Tensor): Tensor => ({ ...tensor, shape: to })
    const whole = [shape[0]!, 1, shape[1]!]
    const [restore, arrange] = [shaped(whole), shaped(shape)]
    return { dtype: type, shape: whole, sizeBytes, ggmlName, restore, arrange }
  }
  const same = (tensor: Tensor): Tensor => tensor
  return { dtype: type, shape, sizeBytes, ggmlName, restore: same, arrange: same }
}

/**
 * Heads of a projection in one layer: the metadata has one number, or a list with one for each
 * layer.
 */
function readHeadCount(
  { metadata }: GgufFile,
  part: 'attn_q' | 'attn_k',
  layer: number,
): number | undefined {
  const prefix = `${String(metadata.get('general.architecture'))}.attention.head_count`
  const value =
    (part === 'attn_k' ? metadata.get(`${prefix}_kv`) : undefined) ?? metadata.get(prefix)
  const count = ArrayBuffer.isView(value) ? Number(value[layer]) : value
  return typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : undefined
}
