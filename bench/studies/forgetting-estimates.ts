// Ways to estimate how much a weight matters for a task, for the study `forgetting`: what is
// squared, on how many rows, and what becomes of the sums. `shipped` is what `consolidate` does.

import type { Adapter } from '../../src/adapters/index.ts'
import { f32, type F32Tensor } from '../../src/base/tensor.ts'
import { random } from '../../src/base/random.ts'
import type { LoadedModel } from '../../src/node/index.ts'
import type { Batch } from '../../src/train/batches/batch.ts'
import { buildBatch } from '../../src/train/batches/packing.ts'
import type { EncodedSequence } from '../../src/train/data/encode.ts'
import { createTaskState } from '../../src/train/ewc/consolidate.ts'
import { measureSquares, type SquareSums } from '../../src/train/ewc/importance.ts'
import { type LoraLayer, listLoraLayers } from '../../src/train/ewc/lora-layers.ts'
import type { EwcState, ProtectedModule } from '../../src/train/ewc/state.ts'
import { crossEntropy } from '../../src/train/losses/cross-entropy.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'

type Sums = ReadonlyMap<string, SquareSums>
type Importance = Pick<ProtectedModule, 'fisherOut' | 'fisherIn'>

export interface Estimate {
  /** Rows that are measured; 0 measures nothing: all weights matter alike. */
  readonly rows: number
  /** Rows whose gradient is squared as one. */
  readonly together: number
  /** Labels are the data's, or sampled from the model (Fisher's definition). */
  readonly labels: 'data' | 'model'
  /** The weight of earlier tasks relative to the newest. */
  readonly decay: number
  /** What becomes of a module's importances, which are 1 in the mean of the module. */
  readonly change?: (
    module: Importance,
    layer: LoraLayer,
    sums: Sums,
    layers: readonly LoraLayer[],
  ) => Importance
}

const shipped: Estimate = { rows: 24, together: 1, labels: 'data', decay: 1 }

const mapImportance = (
  { fisherOut, fisherIn }: Importance,
  change: (values: F32Tensor) => F32Tensor,
): Importance => ({ fisherOut: change(fisherOut), fisherIn: change(fisherIn) })

function withMeanOne({ shape, data }: F32Tensor): F32Tensor {
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length
  return f32(
    shape,
    data.map((value) => value / mean),
  )
}

const computePower = (tensor: F32Tensor, power: number): F32Tensor =>
  withMeanOne(
    f32(
      tensor.shape,
      tensor.data.map((value) => value ** power),
    ),
  )

const limitValues = (tensor: F32Tensor, most: number): F32Tensor =>
  withMeanOne(
    f32(
      tensor.shape,
      tensor.data.map((value) => Math.min(value, most)),
    ),
  )

const sumValues = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0)

/** Mean squared gradient of a module's weights over that of all modules, to a power. */
function computeModuleShare(layer: LoraLayer, sums: Sums, layers: readonly LoraLayer[]): number {
  const size = ({ inFeatures, outFeatures }: LoraLayer): number => inFeatures * outFeatures
  const total = (one: LoraLayer): number => sumValues(sums.get(one.path)!.out)
  const all = layers.reduce((sum, one) => sum + total(one), 0)
  const weights = layers.reduce((sum, one) => sum + size(one), 0)
  return total(layer) / size(layer) / (all / weights)
}

const weighModule = (module: Importance, share: number): Importance => ({
  fisherIn: module.fisherIn,
  fisherOut: f32(
    module.fisherOut.shape,
    module.fisherOut.data.map((value) => share * value),
  ),
})

const weighByShare =
  (power: number): NonNullable<Estimate['change']> =>
  (module, layer, sums, layers) =>
    weighModule(module, computeModuleShare(layer, sums, layers) ** power)

export const estimates: Readonly<Record<string, Estimate>> = {
  shipped,
  flat: { ...shipped, rows: 0 },
  'rows-8': { ...shipped, rows: 8 },
  'rows-96': { ...shipped, rows: 96 },
  batches: { ...shipped, rows: 96, together: 4 },
  'model-labels': { ...shipped, labels: 'model' },
  'decay-0.5': { ...shipped, decay: 0.5 },
  'decay-0': { ...shipped, decay: 0 },
  root: {
    ...shipped,
    change: (module) => mapImportance(module, (values) => computePower(values, 0.5)),
  },
  clamped: {
    ...shipped,
    change: (module) => mapImportance(module, (values) => limitValues(values, 4)),
  },
  global: { ...shipped, change: weighByShare(1) },
  'global-root': { ...shipped, change: weighByShare(0.5) },
}

export interface MeasuredTask {
  readonly model: LoadedModel
  readonly adapter: Adapter
  readonly rows: readonly EncodedSequence[]
  readonly seed: number
}

/** What a task leaves, by an estimate. */
export async function measureTask(
  { rows: count, together, labels, change }: Estimate,
  { model, adapter, rows, seed }: MeasuredTask,
): Promise<EwcState> {
  const layers = listLoraLayers(model.base.graph, adapter)
  const chosen = Array.from(
    { length: count },
    (_, n) => rows[Math.floor((n * rows.length) / count)]!,
  )
  const groups = Array.from({ length: count / together }, (_, n) =>
    chosen.slice(n * together, (n + 1) * together),
  )
  const given = groups.map(buildGroupBatch)
  const batches = labels === 'model' ? await drawLabels(model, adapter, given, seed) : given
  const measuring = measureSquares({ model, adapter, layers, batches, seed })
  let next =
    count > 0 ? await measuring.next() : { done: true as const, value: createFlatSums(layers) }
  while (!next.done) next = await measuring.next()
  const sums = next.value
  const task = createTaskState(layers, adapter, sums)
  if (!change) return task
  const modules = layers.map((layer): readonly [string, ProtectedModule] => {
    const module = task.modules.get(layer.path)!
    return [layer.path, { ...module, ...change(module, layer, sums, layers) }]
  })
  return { ...task, modules: new Map(modules) }
}

const createFlatSums = (layers: readonly LoraLayer[]): Map<string, SquareSums> =>
  new Map(
    layers.map(({ path, inFeatures, outFeatures }) => [
      path,
      { out: new Float64Array(outFeatures).fill(1), in: new Float64Array(inFeatures).fill(1) },
    ]),
  )

/** Rows on one line each, their loss the mean of their labels. */
function buildGroupBatch(group: readonly EncodedSequence[]): Batch {
  const labels = group
    .flatMap(({ weights }) => [...weights])
    .reduce((sum, weight) => sum + weight, 0)
  return buildBatch(
    group,
    group.map((_, n) => [n]),
    { scale: 1 / labels },
  )
}

/** The same batches with labels drawn from the model's distribution at their places. */
async function drawLabels(
  model: LoadedModel,
  adapter: Adapter,
  batches: readonly Batch[],
  seed: number,
): Promise<Batch[]> {
  const program = await createGradientProgram({
    graph: model.base.graph,
    weights: await model.weights(),
    backend: model.backend,
    adapter,
    trainable: [],
    loss: (g, logits, states) => ({ ...crossEntropy.graph(g, logits, {}, states), scores: logits }),
  })
  const draw = random(seed)
  const drawn: Batch[] = []
  try {
    for (const batch of batches) {
      const { outputs } = await program.measure(batch, adapter.tensors)
      const { data, shape } = outputs.get('scores') as F32Tensor
      const size = shape[1]!
      const labels = batch.labels.map((_, m) =>
        drawIndex(data.subarray(m * size, (m + 1) * size), draw.uniform()),
      )
      drawn.push({ ...batch, labels })
    }
  } finally {
    await program.dispose()
  }
  return drawn
}

/** The index at which the cumulated softmax reaches `share`. */
function drawIndex(logits: Float32Array, share: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const total = logits.reduce((sum, value) => sum + Math.exp(value - most), 0)
  let left = share * total
  for (let i = 0; i < logits.length; i++) {
    left -= Math.exp(logits[i]! - most)
    if (left < 0) return i
  }
  return logits.length - 1
}
