// The memory that serving a base model needs, computed from the names, types and shapes of its
// weights before any of them is read. Independent of the platform.

import { countBytes } from '../../base/dtype.ts'
import { sizeOf } from '../../base/tensor.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import { computeCacheShape } from '../../graph/cache-shape.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import { collectWeightShapes, type ModelGraph } from '../../graph/model-graph.ts'
import type { PackedForm } from '../../compute/pack-linears.ts'
import type { PackedFiles } from '../../compute/packed-files.ts'
import { countFrozenBytes } from '../../graph/quantized-base/quantize-weight.ts'
import type { Quantization } from '../../graph/quantized-base/frozen-form-table.ts'
import type { BaseWeights } from './base-weights.ts'

export interface ModelMemory {
  /** Weights as the runtime packs them: codes, scales, and sums or offsets of each block. */
  readonly packedBytes: number
  /** How many programs hold a copy of these at the same time. */
  readonly copies: number
  /** Matrices that are kept in f32. */
  readonly floatBytes: number
  /** The embedding table in the file's own form, for looking up rows. */
  readonly tableBytes: number
  /**
   * While the largest weight is packed: its bytes in the file, its packed bytes, and another copy
   * of them.
   */
  readonly packingBytes: number
  /** Node, the libraries, Graft, and compiled programs. */
  readonly processBytes: number
  /** The peak of all of that, without caches of keys and values. */
  readonly peakBytes: number
  /** Keys and values of a token in one row, in f32. */
  readonly tokenBytes: number
  /** The prepared file, on disk. */
  readonly preparedBytes: number
}

// Measured with onnxruntime-node 1.30 on Linux x64: a process that has opened a model and compiled
// its programs, less what is counted here.
const processBytes = 330e6

/**
 * Programs of a model whose weights are not shared: prefill and decode, each for the base and for
 * experts.
 */
const separateCopies = 4

/**
 * Without a file, all weights are in memory several times: in JavaScript, in the ONNX message, and
 * in what ONNX Runtime reads it into.
 */
const copiesInMessage = 4

const floatBytes = 4

/** Bytes of a packed weight: in the file, and as the runtime keeps it. */
function countPacked(
  { bits, block, withOffsets }: PackedForm,
  values: number,
): { readonly file: number; readonly memory: number } {
  const perBlock = values / block
  const codes = (values * bits) / 8
  const offsets = withOffsets ? perBlock * floatBytes : 0
  const file = codes + perBlock * floatBytes + offsets
  return { file, memory: file + perBlock * floatBytes }
}

export interface MemoryParts {
  readonly graph: ModelGraph
  readonly store: TensorStore
  readonly weights: Pick<BaseWeights, 'formOf'>
  /** Whether packed weights go through a file, and whether all programs share one copy of them. */
  readonly files: Pick<PackedFiles, 'isShared'> | undefined
}

export function computeModelMemory({ graph, store, weights, files }: MemoryParts): ModelMemory {
  let packedBytes = 0
  let unpackedBytes = 0
  let tableBytes = 0
  let preparedBytes = 0
  let packingBytes = 0
  const inEmbedding = new Set(
    collectWeightShapes(graph.blocks.filter(({ kind }) => kind === 'embed')).keys(),
  )
  const read = new Set(
    collectWeightShapes(graph.blocks.filter(({ kind }) => kind !== 'embed')).keys(),
  )
  for (const [name, { dtype, shape }] of store.tensors) {
    const values = sizeOf(shape)
    const form = weights.formOf(name)
    const own = countBytes(dtype, values)
    if (inEmbedding.has(name)) tableBytes += form ? own : values * floatBytes
    if (!read.has(name)) continue
    if (!form) {
      if (!inEmbedding.has(name)) unpackedBytes += values * floatBytes
      continue
    }
    const { file, memory } = countPacked(form, values)
    packedBytes += memory
    preparedBytes += file
    packingBytes = Math.max(packingBytes, own + 2 * file)
  }
  const copies = files?.isShared ? 1 : separateCopies
  if (!files) packingBytes = copiesInMessage * preparedBytes
  return {
    packedBytes,
    copies,
    floatBytes: unpackedBytes,
    tableBytes,
    packingBytes,
    processBytes,
    peakBytes: packedBytes * copies + unpackedBytes + tableBytes + packingBytes + processBytes,
    tokenBytes: countTokenBytes(graph.config),
    preparedBytes,
  }
}

/** Keys and values of one token, in layers that attend. */
const countTokenBytes = (config: ModelConfig): number => {
  const { layers, kvHeads, headWidth } = computeCacheShape(config)
  return layers * 2 * kvHeads * headWidth * floatBytes
}

/**
 * Weights as training reads them: in f32, or each matrix in its quantised form; and the process.
 */
export function computeTrainedBytes(graph: ModelGraph, quantization?: Quantization): number {
  const inLayers = new Set(
    collectWeightShapes(graph.blocks.filter(({ kind }) => kind === 'layer')).keys(),
  )
  let bytes = processBytes
  let largest = 0
  for (const [name, dims] of collectWeightShapes(graph.blocks)) {
    const shape = dims.map(Number)
    const own = sizeOf(shape) * floatBytes
    bytes += quantization ? countFrozenBytes(shape, quantization, inLayers.has(name)) : own
    largest = Math.max(largest, own)
  }
  return bytes + (quantization ? largest : 0)
}
