// The importance of each weight of the changed layers: sums of squared gradients by row and by
// column, estimated without computing the full gradients.

import { random, type Random } from '../../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'
import type { Batch } from '../batches/batch.ts'
import { createGradientProgram, type GradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import type { LoraLayer } from './lora-layers.ts'

/**
 * Random directions for each row: the estimated sums of squares have a relative deviation of
 * √(2/probes) per row.
 */
const probes = 8

/** Of one layer: Σ_j G_ij² by row i of W, Σ_i G_ij² by column j. */
export interface SquareSums {
  readonly out: Float64Array
  readonly in: Float64Array
}

const createSums = (outFeatures: number, inFeatures: number): SquareSums => ({
  out: new Float64Array(outFeatures),
  in: new Float64Array(inFeatures),
})

export interface MeasuredLayers {
  readonly model: TrainableModel
  /** The base's weights, where they have been read already. */
  readonly weights?: ReadonlyMap<string, BaseWeight> | undefined
  readonly adapter: Pick<Adapter, 'tensors'>
  readonly layers: readonly LoraLayer[]
  /** One gradient each, which is squared: of one row, or of several rows together. */
  readonly batches: readonly Batch[]
  readonly seed: number
}

/**
 * Sums over batches of the squares of G = ∂loss/∂W, by row and by column of every layer's W; yields
 * how many batches are done. G itself is never made: with normal probes P and Q, the gradient of a
 * low-rank branch [A over P over 0], [B | 0 | Q] contains G·Pᵀ and Qᵀ·G, whose squares have those
 * sums as their expectation.
 */
export async function* measureSquares({
  model,
  weights,
  adapter,
  layers,
  batches,
  seed,
}: MeasuredLayers): AsyncGenerator<{ done: number; count: number }, Map<string, SquareSums>, void> {
  const sums = new Map(
    layers.map(({ path, outFeatures, inFeatures }) => [path, createSums(outFeatures, inFeatures)]),
  )
  const program = await createProbeProgram(model, weights ?? (await model.weights()), layers)
  try {
    for (const [n, batch] of batches.entries()) {
      const detours = widenAdapter(layers, adapter.tensors, random(seed + n))
      const { gradients } = await program.gradients(batch, detours)
      for (const layer of layers) addSquares(layer, gradients, sums.get(layer.path)!)
      yield { done: n + 1, count: batches.length }
    }
  } finally {
    await program.dispose()
  }
  return sums
}

const widenAdapter = (
  layers: readonly LoraLayer[],
  tensors: ReadonlyMap<string, Tensor>,
  draw: Random,
): Map<string, F32Tensor> =>
  new Map(
    layers.flatMap((layer) => [
      [layer.a, widenA(layer, toFloat32(tensors.get(layer.a)!), draw)] as const,
      [layer.b, widenB(layer, toFloat32(tensors.get(layer.b)!), draw)] as const,
    ]),
  )

/**
 * A program whose low-rank branches have 2·probes additional ranks, with the same scale in every
 * module.
 */
async function createProbeProgram(
  model: TrainableModel,
  weights: ReadonlyMap<string, BaseWeight>,
  layers: readonly LoraLayer[],
): Promise<GradientProgram> {
  const wide = layers.map(({ path, rank, scale }) => ({
    pattern: escapePath(path),
    rank: rank + 2 * probes,
    scale,
  }))
  const config = getKind('lora').complete({
    targets: layers.map(({ path }) => path),
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
    trainable: layers.flatMap(({ a, b }) => [a, b]),
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

/** B, zeros and Q concatenated: [out, R + 2p]. */
function widenB({ rank, outFeatures }: LoraLayer, b: Float32Array, draw: Random): F32Tensor {
  const width = rank + 2 * probes
  const result = f32([outFeatures, width])
  for (let i = 0; i < outFeatures; i++) {
    for (let k = 0; k < rank; k++) result.data[i * width + k] = b[i * rank + k]!
    for (let k = rank + probes; k < width; k++) result.data[i * width + k] = draw.normal()
  }
  return result
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
