// Weights for compute: converts each tensor to f32, one at a time, and refuses NaN and infinity.

import { NumericError } from '../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { type Quantization } from './quantized-base/frozen-form-table.ts'
import { type BaseWeight, freeze } from './quantized-base/quantize-weight.ts'
import { collectWeightShapes } from './model-graph.ts'
import type { BaseModel } from './base-model.ts'

export interface ReadWeightsOptions {
  /** Called after each tensor. */
  readonly onProgress?: (progress: {
    readonly done: number
    readonly total: number
    readonly name: string
  }) => void
}

/**
 * The tensor as f32. Throws NumericError naming it, with the first value that is NaN or infinite.
 */
export function toFiniteFloat32(name: string, tensor: Tensor): F32Tensor {
  const values = toFloat32(tensor)
  let check = 0
  // becomes NaN if a value is NaN or infinite; by index, because iterating takes ten times as long
  for (let i = 0; i < values.length; i++) check += values[i]! - values[i]!
  if (check === 0) return f32(tensor.shape, values)
  const at = values.findIndex((value) => !Number.isFinite(value))
  throw new NumericError(
    `Tensor "${name}": value ${at} of ${values.length} is ${values[at]}, expected a finite number. The file is damaged.`,
  )
}

/**
 * Weights of a model by checkpoint name, as f32: the given names, or all that its graph reads. Read
 * one at a time, so that no second copy of the file is held. Throws NumericError for NaN or
 * infinity, NotFoundError for an unknown name.
 */
export async function readWeights(
  { graph, weights }: Pick<BaseModel, 'graph' | 'weights'>,
  names: Iterable<string> = collectWeightShapes(graph.blocks).keys(),
  { onProgress }: ReadWeightsOptions = {},
): Promise<Map<string, F32Tensor>> {
  const wanted = [...names]
  const read = new Map<string, F32Tensor>()
  for (const name of wanted) {
    read.set(name, toFiniteFloat32(name, await weights.read(name)))
    onProgress?.({ done: read.size, total: wanted.length, name })
  }
  return read
}

/**
 * Every weight that the model's graph reads, quantised as it is read, so that no more than one
 * tensor is in f32 at a time. Norms, biases and matrices whose rows are not whole blocks stay f32.
 * Throws NumericError for NaN or infinity.
 */
export async function readQuantized(
  { graph, weights }: Pick<BaseModel, 'graph' | 'weights'>,
  quantization: Quantization,
  { onProgress }: ReadWeightsOptions = {},
): Promise<Map<string, BaseWeight>> {
  const names = [...collectWeightShapes(graph.blocks).keys()]
  const inLayers = new Set(
    collectWeightShapes(graph.blocks.filter(({ kind }) => kind === 'layer')).keys(),
  )
  const read = new Map<string, BaseWeight>()
  for (const name of names) {
    read.set(
      name,
      freeze(toFiniteFloat32(name, await weights.read(name)), quantization, inLayers.has(name)),
    )
    onProgress?.({ done: read.size, total: names.length, name })
  }
  return read
}
