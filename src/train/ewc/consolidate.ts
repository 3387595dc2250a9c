// After a task, computes the importance of every changed weight for it, and stores the change
// itself. Independent of optimisers and schedules.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { createOpaqueField } from '../../base/opaque-field.ts'
import { integer, isRecord, readOptions } from '../../base/schema.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'
import type { EncodedSequence } from '../data/encode.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import type { Batch } from '../batches/batch.ts'
import { buildBatch } from '../batches/packing.ts'
import { measureSquares, type SquareSums } from './importance.ts'
import { type LoraLayer, listLoraLayers } from './lora-layers.ts'
import { ewcStateField, ewcTable } from './options.ts'
import type { EwcState, ProtectedModule } from './state.ts'

export interface ConsolidateOptions {
  readonly model: TrainableModel
  /** The adapter after training on the task. */
  readonly adapter: Adapter
  /** The base's weights, if they have been read already. */
  readonly weights?: ReadonlyMap<string, BaseWeight>
  /** The task's rows. */
  readonly rows: readonly EncodedSequence[]
  /** The state of earlier tasks. */
  readonly previous?: EwcState
  /** How many rows, evenly spaced, the importance is measured on. Default: 24. */
  readonly sample?: number
  /** Weight of earlier tasks: 1 as much as this one, 0 not at all. */
  readonly decay?: number
  readonly seed?: number
}

/**
 * Adds a task to the protected state. With G = ∂loss/∂W of one row, importance is the empirical
 * Fisher's diagonal E[G²] in factored form (as Adafactor factors its second moment, Shazeer and
 * Stern 2018, arXiv:1804.04235): r_i = E[Σ_j G_ij²], c_j = E[Σ_i G_ij²], each divided by its mean,
 * so that every module weighs the same. G itself is never made: with normal probes P and Q, the
 * gradient of a low-rank branch [A over P over 0], [B | 0 | Q] contains G·Pᵀ and Qᵀ·G, whose
 * squares have those sums as their expectation. Earlier tasks decay by `decay` (online EWC), and
 * the anchor becomes this adapter's ΔW. Throws UnsupportedError for an adapter that is no plain
 * LoRA, OptionError for options out of range.
 */
export async function consolidate(options: ConsolidateOptions): Promise<EwcState> {
  const measuring = consolidateWithProgress(options)
  let next = await measuring.next()
  while (!next.done) next = await measuring.next()
  return next.value
}

/** The same, yielding how many rows are done. */
export async function* consolidateWithProgress(
  options: ConsolidateOptions,
): AsyncGenerator<{ done: number; count: number }, EwcState, void> {
  const { sample, decay, seed } = readConsolidateOptions(options)
  const { model, weights, adapter, rows, previous } = options
  const layers = listLoraLayers(model.base.graph, adapter)
  const batches = selectEvenly(rows, sample).map(buildRowBatch)
  const sums = yield* measureSquares({ model, weights, adapter, layers, batches, seed })
  return mergeTask(createTaskState(layers, adapter, sums), previous, decay)
}

/** A batch of one row; its loss is the mean over its labels. */
function buildRowBatch(row: EncodedSequence): Batch {
  const labels = row.weights.reduce((sum, weight) => sum + weight, 0)
  return buildBatch([row], [[0]], { scale: 1 / labels })
}

const isMap = (value: unknown): boolean => value instanceof Map
const hasTensors = (value: unknown): boolean => isRecord(value) && isMap(value['tensors'])

const consolidateTable = {
  model: createOpaqueField('a model', (value) => isRecord(value) && isRecord(value['base'])),
  adapter: createOpaqueField('an adapter', hasTensors),
  weights: createOpaqueField("the base's weights by name", isMap),
  rows: createOpaqueField(
    'rows of the task, at least one, because importance is measured on them',
    (value) => Array.isArray(value) && value.length > 0,
  ),
  previous: ewcStateField,
  sample: ewcTable.sample,
  decay: ewcTable.decay,
  seed: integer({ default: 0 }),
}

function readConsolidateOptions(options: ConsolidateOptions) {
  const { sample, decay, seed } = readOptions('EWC options', options, consolidateTable)
  const missing = (['model', 'adapter', 'rows'] as const).filter((name) => !options[name])
  if (missing.length > 0) throw new OptionError(`EWC options: ${missing.join(', ')} must be given.`)
  return { sample, decay, seed }
}

/** `count` items at equal distances, all where there are fewer. */
function selectEvenly<T>(items: readonly T[], count: number): T[] {
  const size = Math.min(count, items.length)
  return Array.from({ length: size }, (_, i) => items[Math.floor((i * items.length) / size)]!)
}

/** The state of a single task: the adapter's ΔW, and importances with mean 1 in each module. */
export function createTaskState(
  layers: readonly LoraLayer[],
  { tensors }: Pick<Adapter, 'tensors'>,
  sums: ReadonlyMap<string, SquareSums>,
): EwcState {
  const modules = layers.map((layer): readonly [string, ProtectedModule] => {
    const { path, rank, scale, inFeatures, outFeatures } = layer
    const anchorB = toFloat32(tensors.get(layer.b)!).map((value) => scale * value)
    return [
      path,
      {
        fisherOut: scaleToMeanOne(sums.get(path)!.out),
        fisherIn: scaleToMeanOne(sums.get(path)!.in),
        anchorA: f32([rank, inFeatures], toFloat32(tensors.get(layer.a)!).slice()),
        anchorB: f32([outFeatures, rank], anchorB),
      },
    ]
  })
  return { tasks: 1, weight: 1, modules: new Map(modules) }
}

/**
 * Scales to mean 1; a module whose gradient is zero everywhere gets the importance 1 everywhere.
 */
function scaleToMeanOne(values: Float64Array): F32Tensor {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return f32(
    [values.length],
    Float32Array.from(values, (value) => (mean > 0 ? value / mean : 1)),
  )
}

/**
 * Merges a new task into the state of earlier ones: weighted means of the importances, and the new
 * task's anchor.
 */
export function mergeTask(task: EwcState, previous: EwcState | undefined, decay: number): EwcState {
  if (!previous) return task
  const old = decay * previous.weight
  const average = (before: F32Tensor | undefined, { shape, data }: F32Tensor): F32Tensor =>
    f32(shape, before ? data.map((value, i) => (value + old * before.data[i]!) / (1 + old)) : data)
  const modules = [...task.modules].map(([path, module]): readonly [string, ProtectedModule] => {
    const before = previous.modules.get(path)
    const fisherOut = average(before?.fisherOut, module.fisherOut)
    const fisherIn = average(before?.fisherIn, module.fisherIn)
    return [path, { ...module, fisherOut, fisherIn }]
  })
  return { tasks: previous.tasks + 1, weight: old + 1, modules: new Map(modules) }
}
