// After a task: how much every weight of the change mattered for it, and the change itself.
// Independent of optimisers and schedules.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { createOpaqueField } from '../../base/opaque-field.ts'
import { integer, isRecord, readOptions } from '../../base/schema.ts'
import { random, type Random } from '../../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { createGradientProgram, type GradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { buildBatch } from '../batches/packing.ts'
import { type LoraLayer, listLoraLayers } from './lora-layers.ts'
import { ewcStateField, ewcTable } from './options.ts'
import type { EwcState, ProtectedModule } from './state.ts'

export interface ConsolidateOptions {
  readonly model: TrainableModel
  /** The adapter as the task's training left it. */
  readonly adapter: Adapter
  /** The base's weights, where they have been read already. */
  readonly weights?: ReadonlyMap<string, BaseWeight>
  /** The task's rows. */
  readonly rows: readonly EncodedSequence[]
  /** What was protected before. */
  readonly previous?: EwcState
  /** How many rows the importance is measured on, evenly taken. 24 unless given. */
  readonly sample?: number
  /** How much earlier tasks still count: 1 as much as this one, 0 not at all. */
  readonly decay?: number
  readonly seed?: number
}

/**
 * Random directions a row: the sums of squares they estimate have a relative deviation of
 * √(2/probes) a row.
 */
const probes = 8

export interface SquareSums {
  readonly out: Float64Array
  readonly in: Float64Array
}

/**
 * Adds a task to what is protected. With G = ∂loss/∂W of one row, importance is the empirical
 * Fisher's diagonal E[G²] in factored form (as Adafactor factors its second moment, Shazeer and
 * Stern 2018, arXiv:1804.04235): r_i = E[Σ_j G_ij²], c_j = E[Σ_i G_ij²], each divided by its mean,
 * so that every module weighs the same. G itself is never made: with normal probes P and Q, the
 * gradient of a detour [A over P over 0], [B | 0 | Q] holds G·Pᵀ and Qᵀ·G, whose squares have those
 * sums as their expectation. Earlier tasks fade by `decay` (online EWC), their anchor moves on to
 * this adapter's ΔW. Throws UnsupportedError for an adapter that is no plain LoRA, OptionError for
 * options out of range.
 */
export async function consolidate(options: ConsolidateOptions): Promise<EwcState> {
  const measuring = consolidateWithProgress(options)
  let next = await measuring.next()
  while (!next.done) next = await measuring.next()
  return next.value
}

/** The same, telling how many rows are done. */
export async function* consolidateWithProgress(
  options: ConsolidateOptions,
): AsyncGenerator<{ done: number; count: number }, EwcState, void> {
  const { sample, decay, seed } = readConsolidateOptions(options)
  const { model, adapter, rows, previous } = options
  const sites = listLoraLayers(model.base.graph, adapter)
  const chosen = selectEvenly(rows, sample)
  const sums = new Map(
    sites.map(({ path, outFeatures, inFeatures }) => [path, createSums(outFeatures, inFeatures)]),
  )
  const program = await createProbeProgram(model, options.weights ?? (await model.weights()), sites)
  try {
    for (const [n, row] of chosen.entries()) {
      await addRow(program, sites, adapter.tensors, row, random(seed + n), sums)
      yield { done: n + 1, count: chosen.length }
    }
  } finally {
    await program.dispose()
  }
  return mergeTask(sites, adapter, sums, previous, decay)
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

const createSums = (outFeatures: number, inFeatures: number): SquareSums => ({
  out: new Float64Array(outFeatures),
  in: new Float64Array(inFeatures),
})

/** `count` items at equal distances, all where there are fewer. */
function selectEvenly<T>(items: readonly T[], count: number): T[] {
  const size = Math.min(count, items.length)
  return Array.from({ length: size }, (_, i) => items[Math.floor((i * items.length) / size)]!)
}

/** A program for detours that are wider by twice the probes, of the same scale in every module. */
async function createProbeProgram(
  model: TrainableModel,
  weights: ReadonlyMap<string, BaseWeight>,
  sites: readonly LoraLayer[],
): Promise<GradientProgram> {
  const wide = sites.map(({ path, rank, scale }) => ({
    pattern: escapePath(path),
    rank: rank + 2 * probes,
    scale,
  }))
  const config = getKind('lora').complete({
    targets: sites.map(({ path }) => path),
    rank: wide[0]!.rank,
    alpha: wide[0]!.rank * wide[0]!.scale,
    rankPattern: Object.fromEntries(wide.map(({ pattern, rank }) => [pattern, rank])),
    alphaPattern: Object.fromEntries(
      wide.map(({ pattern, rank, scale }) => [pattern, rank * scale]),
    ),
  })
  return createGradientProgram({
    graph: model.base.graph,
    weights,
    backend: model.backend,
    adapter: { kind: 'lora', config },
    trainable: sites.flatMap(({ a, b }) => [a, b]),
  })
}

/** A pattern that only this module matches. */
const escapePath = (path: string): string => path.replaceAll('.', '\\.')

/** A over P over zeros: [R + 2p, in]. */
function widenA({ rank, inFeatures }: LoraLayer, a: Float32Array, draw: Random): F32Tensor {
  const result = f32([rank + 2 * probes, inFeatures])
  result.data.set(a)
  for (let i = rank * inFeatures, end = (rank + probes) * inFeatures; i < end; i++)
    result.data[i] = draw.normal()
  return result
}

/** B beside zeros beside Q: [out, R + 2p]. */
function widenB({ rank, outFeatures }: LoraLayer, b: Float32Array, draw: Random): F32Tensor {
  const width = rank + 2 * probes
  const result = f32([outFeatures, width])
  for (let i = 0; i < outFeatures; i++) {
    for (let k = 0; k < rank; k++) result.data[i * width + k] = b[i * rank + k]!
    for (let k = rank + probes; k < width; k++) result.data[i * width + k] = draw.normal()
  }
  return result
}

async function addRow(
  program: GradientProgram,
  sites: readonly LoraLayer[],
  tensors: ReadonlyMap<string, Tensor>,
  row: EncodedSequence,
  draw: Random,
  sums: ReadonlyMap<string, SquareSums>,
): Promise<void> {
  const widened = new Map(
    sites.flatMap((site) => [
      [site.a, widenA(site, toFloat32(tensors.get(site.a)!), draw)] as const,
      [site.b, widenB(site, toFloat32(tensors.get(site.b)!), draw)] as const,
    ]),
  )
  const labels = row.weights.reduce((sum, weight) => sum + weight, 0)
  const { gradients } = await program.gradients(
    buildBatch([row], [[0]], { shared: 0, scale: 1 / labels }),
    widened,
  )
  for (const site of sites) addSquares(site, gradients, sums.get(site.path)!)
}

/** The gradients hold s·G·Pᵀ in columns of B, s·Qᵀ·G in rows of A. */
function addSquares(
  { rank, scale, inFeatures, outFeatures, a, b }: LoraLayer,
  gradients: ReadonlyMap<string, Tensor>,
  sums: SquareSums,
): void {
  const ofA = gradients.get(a)!.data as Float32Array
  const ofB = gradients.get(b)!.data as Float32Array
  const width = rank + 2 * probes
  const share = 1 / (scale * scale * probes)
  for (let i = 0; i < outFeatures; i++)
    for (let k = rank; k < rank + probes; k++) sums.out[i]! += share * ofB[i * width + k]! ** 2
  for (let k = rank + probes; k < width; k++)
    for (let j = 0; j < inFeatures; j++) sums.in[j]! += share * ofA[k * inFeatures + j]! ** 2
}

/**
 * Earlier tasks and this one as one state: means of the importances, weighted by how much each task
 * counts.
 */
export function mergeTask(
  sites: readonly LoraLayer[],
  { tensors }: Adapter,
  sums: ReadonlyMap<string, SquareSums>,
  previous: EwcState | undefined,
  decay: number,
): EwcState {
  const old = decay * (previous?.weight ?? 0)
  const modules = sites.map((site): readonly [string, ProtectedModule] => {
    const before = previous?.modules.get(site.path)
    const sum = sums.get(site.path)!
    return [
      site.path,
      {
        fisherOut: averageImportance(before?.fisherOut.data, sum.out, old),
        fisherIn: averageImportance(before?.fisherIn.data, sum.in, old),
        anchorA: f32([site.rank, site.inFeatures], toFloat32(tensors.get(site.a)!).slice()),
        anchorB: f32(
          [site.outFeatures, site.rank],
          toFloat32(tensors.get(site.b)!).map((value) => site.scale * value),
        ),
      },
    ]
  })
  return { tasks: (previous?.tasks ?? 0) + 1, weight: old + 1, modules: new Map(modules) }
}

/**
 * (old·before + values/mean(values)) / (old + 1); a module whose gradient is zero everywhere
 * matters equally everywhere.
 */
function averageImportance(
  before: Float32Array | undefined,
  values: Float64Array,
  old: number,
): F32Tensor {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const kept = before ? old : 0
  return f32(
    [values.length],
    Float32Array.from(
      values,
      (value, i) => ((mean > 0 ? value / mean : 1) + kept * (before?.[i] ?? 0)) / (1 + kept),
    ),
  )
}
