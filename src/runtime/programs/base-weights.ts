// A base model's weights in the forms that programs take: packed for serving, f32 for training,
// single embedding rows. Keeps only what is fed at every run; what becomes part of a program is not
// kept here a second time.

import { blockLayout, countBytes, type DType, isBlockType } from '../../base/dtype.ts'
import { NumericError, OptionError } from '../../base/errors.ts'
import { viewBytes, type F32Tensor, fromBytes, type Tensor } from '../../base/tensor.ts'
import {
  type PackedWeight,
  type PackRoom,
  packWeights,
  quantizeWeight,
} from '../../compute/pack.ts'
import type { PackedForm } from '../../compute/pack-linears.ts'
import { hasPacker, type PackedBlockType, packers } from '../../compute/packing/packer-table.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { TakeMemory } from '../../formats/byte-source.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import { type ModelGraph, collectWeightShapes } from '../../graph/model-graph.ts'
import { toFiniteFloat32 } from '../../graph/read-weights.ts'

/**
 * 'file' keeps the file's types, except for blocks that cannot be packed (IQ, MXFP4), which become
 * 8 bits. 'q4' and 'q8' quantise float matrices when they are read; 'q4' keeps embedding and head
 * in 8 bits.
 */
export const weightChoices = ['file', 'f32', 'q4', 'q8'] as const
export type WeightChoice = (typeof weightChoices)[number]

export interface BaseWeights {
  /** How the linear layer's weight is kept while serving; undefined: f32. */
  formOf(name: string): PackedForm | undefined
  /**
   * Several weights that read the same input, packed as one, into `room` if it is given. Throws
   * NumericError for scales that are NaN or infinite.
   */
  packed(names: readonly string[], room?: PackRoom): Promise<PackedWeight>
  /**
   * The same weights as the file has them, for runtimes that compute in f32. Throws NumericError as
   * `packed` does.
   */
  blocks(names: readonly string[]): Promise<readonly Tensor[]>
  /** f32; kept for the next program that is fed with it. */
  float(name: string): Promise<F32Tensor>
  /** f32; read again at every call and not kept. */
  floatUncached(name: string): Promise<F32Tensor>
  /** Every weight of the model in f32 by checkpoint name, for programs that differentiate. */
  floats(): Promise<Map<string, F32Tensor>>
  /**
   * Rows of the embedding table for token ids, [ids, D] in f32, from any form of the table. Throws
   * OptionError for an id outside of it.
   */
  embeddingRows(ids: readonly number[]): Promise<Float32Array>
  /** The same for any matrix, such as the head's, which also has a row for each token. */
  matrixRows(name: string, ids: readonly number[]): Promise<Float32Array>
}

const selectBlockType = (
  dtype: DType,
  shape: readonly number[],
  choice: WeightChoice,
  inLayers: boolean,
): PackedBlockType | undefined => {
  if (choice === 'f32' || shape.length !== 2) return undefined
  if (isBlockType(dtype)) return hasPacker(dtype) ? dtype : 'q8_0'
  if (choice === 'file' || shape[1]! % 32 !== 0) return undefined
  return choice === 'q4' && inLayers ? 'q4_0' : 'q8_0'
}

/** The name of the embedding table. */
function getEmbeddingName(model: ModelGraph): string {
  const [embed] = model.blocks
  const weights = new Set(
    embed?.graph.inputs.filter(({ role }) => role === 'weight').map(({ name }) => name),
  )
  const node = embed?.graph.nodes.find(
    ({ operation, inputs }) => operation === 'embedding' && weights.has(inputs[0]!.name),
  )
  if (!embed || !node) throw new OptionError('This model has no embedding table.')
  return embed.prefix + node.inputs[0]!.name
}

/** The tensors of `model` in `store`, quantised if the choice requires it. */
function createWeightReader(model: ModelGraph, store: TensorStore, choice: WeightChoice) {
  const layers = model.blocks.filter(({ kind }) => kind === 'layer')
  const inLayers = new Set(collectWeightShapes(layers).keys())
  const blockTypeOf = (name: string): PackedBlockType | undefined => {
    const info = store.tensors.get(name)
    return info && selectBlockType(info.dtype, info.shape, choice, inLayers.has(name))
  }
  return {
    blockTypeOf,
    async read(name: string, take?: TakeMemory): Promise<Tensor> {
      const tensor = await store.read(name, take)
      const wanted = blockTypeOf(name)
      if (!wanted || tensor.dtype === wanted) return tensor
      return quantizeWeight(tensor, wanted === 'q4_0' ? 'q4' : 'q8') ?? tensor
    },
  }
}

/** The same tensor. Throws NumericError for a scale that is NaN or infinite. */
function checkBlockScales(name: string, tensor: Tensor): Tensor {
  const { dtype, data } = tensor
  if (!hasPacker(dtype)) return tensor
  const { bytes: blockBytes } = blockLayout[dtype]
  const bytes = data as Uint8Array
  for (const place of packers[dtype].scalesAt)
    // The upper byte of an f16 whose exponent bits are all ones: infinity or NaN.
    for (let at = place + 1; at < bytes.length; at += blockBytes)
      if ((bytes[at]! & 0x7c) === 0x7c)
        throw new NumericError(
          `Tensor "${name}": block ${Math.floor(at / blockBytes)} has a scale that is NaN or infinite, expected a finite number. The file is damaged.`,
        )
  return tensor
}

function packFinite(
  names: readonly string[],
  tensors: readonly Tensor[],
  room: PackRoom | undefined,
): PackedWeight {
  const packed = packWeights(tensors, room)
  for (const part of [packed.scales, packed.offsets])
    if (part) toFiniteFloat32(`${names.join(', ')} (block scales)`, part)
  return packed
}

/** Weights of `model` from `store`. */
export function createBaseWeights(
  model: ModelGraph,
  store: TensorStore,
  choice: WeightChoice = 'file',
): BaseWeights {
  const { blockTypeOf, read } = createWeightReader(model, store, choice)
  const kept = new Map<string, Promise<F32Tensor>>()
  const raw = new Map<string, Promise<Tensor>>()
  const table = getEmbeddingName(model)

  const readFloat = async (name: string): Promise<F32Tensor> =>
    toFiniteFloat32(name, await read(name))
  const float = (name: string): Promise<F32Tensor> => {
    const known = kept.get(name) ?? readFloat(name)
    kept.set(name, known)
    return known
  }
  const readRaw = (name: string): Promise<Tensor> => {
    const made = read(name)
    raw.set(name, made)
    made.catch(() => raw.delete(name))
    return made
  }
  const matrixRows = async (name: string, ids: readonly number[]): Promise<Float32Array> => {
    // A float matrix that is fed is reused here; any other table stays in the file's format.
    if (blockTypeOf(name) === undefined) return readMatrixRows(await float(name), ids)
    return readMatrixRows(await (raw.get(name) ?? readRaw(name)), ids)
  }
  return {
    formOf(name) {
      const blockType = blockTypeOf(name)
      if (!blockType) return undefined
      const { bits, block, withOffsets } = packers[blockType]
      return { bits, block, withOffsets }
    },
    // The table is kept, because its rows are read again.
    blocks: async (names) =>
      (
        await Promise.all(
          names.map(async (name) => raw.get(name) ?? (name === table ? readRaw(name) : read(name))),
        )
      ).map((tensor, i) => checkBlockScales(names[i]!, tensor)),
    packed: async (names, room) => {
      const reading = names.map((name, i) =>
        read(name, room && ((sizeBytes) => room.takeBytes(`file ${i}`, sizeBytes))),
      )
      return packFinite(names, await Promise.all(reading), room)
    },
    float,
    floatUncached: (name) => kept.get(name) ?? readFloat(name),
    async floats() {
      const all = new Map<string, F32Tensor>()
      // one at a time: peaks stay low
      for (const name of collectWeightShapes(model.blocks).keys()) all.set(name, await float(name))
      return all
    },
    embeddingRows: (ids) => matrixRows(table, ids),
    matrixRows,
  }
}

/**
 * Rows of a matrix [V, D] of any type, in f32, one after the other. Throws OptionError that names
 * the first id outside of it.
 */
export function readMatrixRows(table: Tensor, ids: readonly number[]): Float32Array {
  const [rows, width] = table.shape as [number, number]
  const outside = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < rows))
  if (outside !== undefined)
    throw new OptionError(`Token id ${outside} is outside of the vocabulary of ${rows}.`)
  const rowBytes = countBytes(table.dtype, width)
  const bytes = viewBytes(table)
  const result = new Float32Array(ids.length * width)
  ids.forEach((id, i) => {
    const row = fromBytes(
      table.dtype,
      [1, width],
      bytes.subarray(id * rowBytes, (id + 1) * rowBytes),
    )
    result.set(toFloat32(row), i * width)
  })
  return result
}
