// A saved MicroLoRA as the bytes of one safetensors file: A and B under PEFT's keys, the other
// tensors of the state, and settings, counts and a checksum in the header.

import { FormatError } from '../../base/errors.ts'
import { joinBytes, joinFloats } from '../../base/concat.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import { computeLayout, type MicroLayout } from '../module/layout.ts'
import { transposeRows } from './peft.ts'
import {
  computeStateChecksum,
  checkSavedVersion,
  formatName,
  formatVersion,
  type SavedMicroLora,
  unpack,
} from './saved.ts'
import { packMeta } from './saved-meta.ts'

const prefix = 'base_model.model.'
const suffixA = '.lora_A.weight'
const suffixB = '.lora_B.weight'
const where = 'safetensors'

export function toSafetensors({ meta, tensors }: SavedMicroLora): Uint8Array {
  const inFile = new Map<string, Tensor>()
  for (const [name, values] of tensors) {
    const module = name.endsWith('.weights') ? name.slice(0, -'.weights'.length) : undefined
    if (module === undefined) inFile.set(name, f32([values.length], values))
    else
      for (const [key, tensor] of toWeightTensors(
        module,
        computeLayout(meta.config, meta.config.modules[module]!),
        values,
      ))
        inFile.set(key, tensor)
  }
  const state = packMeta(meta)
  const metadata = {
    format: formatName,
    version: String(formatVersion),
    state: JSON.stringify(state),
    checksum: computeStateChecksum(state, tensors),
  }
  return joinBytes(encodeSafetensors(inFile, metadata))
}

/**
 * A and B as PEFT has them. The bias has a separate name: PEFT's is scaled, and dividing by the
 * scale would round it.
 */
function* toWeightTensors(
  module: string,
  { rank, inFeatures, outFeatures, parts }: MicroLayout,
  weights: Float32Array,
): Generator<[string, Tensor]> {
  const endOfA = rank * inFeatures
  const endOfB = rank * (inFeatures + outFeatures)
  yield [prefix + module + suffixA, f32([rank, inFeatures], weights.slice(0, endOfA))]
  yield [
    prefix + module + suffixB,
    f32([outFeatures, rank], transposeRows(weights.subarray(endOfA, endOfB), rank, outFeatures)),
  ]
  if (parts[2]) yield [`${module}.bias`, f32([outFeatures], weights.slice(endOfB))]
}

/** A's rows, B's rows, bias, as the heap has them. */
function readWeights(read: Map<string, Tensor>, module: string): Float32Array {
  const a = read.get(prefix + module + suffixA)
  const b = read.get(prefix + module + suffixB)
  const bias = read.get(`${module}.bias`)
  if (b?.shape.length !== 2) throw new FormatError(`${where}: module ${module}: its B is missing.`)
  return joinFloats([
    a!.data,
    transposeRows(b.data as Float32Array, b.shape[0]!, b.shape[1]!),
    ...(bias ? [bias.data] : []),
  ] as Float32Array[])
}

function parseState(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch (cause) {
    throw new FormatError(`${where}: the state in the header cannot be parsed; it is damaged.`, {
      cause,
    })
  }
}

/** The other way round. Throws FormatError, UnsupportedError, MismatchError, NumericError. */
export async function fromSafetensors(bytes: Uint8Array): Promise<SavedMicroLora> {
  const store = await openSafetensors(createMemorySource(where, bytes))
  const { metadata } = store
  checkSavedVersion(where, metadata['format'], Number(metadata['version']))
  const read = new Map<string, Tensor>()
  for (const [name, { dtype }] of store.tensors) {
    if (dtype !== 'f32') throw new FormatError(`${where}: ${name}: got ${dtype}, expected f32.`)
    read.set(name, await store.read(name))
  }
  const tensors = new Map<string, Float32Array>()
  for (const [name, { data }] of read) {
    const module =
      name.startsWith(prefix) && name.endsWith(suffixA)
        ? name.slice(prefix.length, -suffixA.length)
        : undefined
    if (module !== undefined) tensors.set(`${module}.weights`, readWeights(read, module))
    else if (!name.startsWith(prefix) && !name.endsWith('.bias'))
      tensors.set(name, data as Float32Array)
  }
  return unpack(parseState(metadata['state']), tensors, metadata['checksum'], where)
}
