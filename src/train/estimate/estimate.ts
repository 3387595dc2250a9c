// Estimates a run before it starts: memory from the graph that will run, time from the graph's
// products and a calibration of one second.

import { toInputName } from '../../adapters/keys.ts'
import { number, readOptions } from '../../base/schema.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { countWeightBytes } from '../../graph/quantized-base/quantize-weight.ts'
import type { Graph } from '../../graph/ir.ts'
import { composeBlocks } from '../../graph/model-graph.ts'
import { expandComposites } from '../../graph/passes/rewrite.ts'
import type { Batch } from '../batches/batch.ts'
import { addDropoutFeeds } from '../programs/dropout.ts'
import {
  countSegments,
  buildTrainingBlocks,
  collectTrainingFeeds,
} from '../programs/gradient-program.ts'
import type { DataCounts } from '../events.ts'
import type { TrainOptions } from '../options/options.ts'
import { buildBatch } from '../batches/packing.ts'
import { calibrate } from './calibration.ts'
import { type Dims, collectDims, computeMemoryPeak, countProductOperations } from './graph-cost.ts'
import { type PreparedRun, prepareRun } from '../run/prepare.ts'
import { countValidations, type HeldRows, type PreparedRows } from '../run/rows.ts'
import { buildTrainingGraph } from '../programs/gradient-checkpointing.ts'

/** Peak bytes of a run, by purpose. */
export interface MemoryPlan {
  readonly baseBytes: number
  /** The initial adapter, the trained one, and the best one if validation keeps it. */
  readonly adapterBytes: number
  /** Gradients of a step, and those of the previous step until they are garbage-collected. */
  readonly gradientBytes: number
  readonly optimizerBytes: number
  /** What the forward pass keeps for the backward pass at the peak, without the head's. */
  readonly activationBytes: number
  /** Logits over the vocabulary and their softmax or gradient at the peak. */
  readonly headBytes: number
  /** The compiled programs, and what ONNX Runtime's arena loses between buffers. */
  readonly runtimeBytes: number
  /** Node, ONNX Runtime and Graft, before a model is loaded. */
  readonly processBytes: number
  readonly totalBytes: number
}

export interface TimePlan {
  readonly stepSeconds: number
  /**
   * Seconds of all steps and validations, without reading and compiling before and writing after.
   */
  readonly seconds: number
  readonly tokensPerSecond: number
  /** Operations of a step's matrix products, in units of 10⁹. */
  readonly stepGigaOperations: number
  /**
   * The calibrated speed of this machine, in 10⁹ operations per second, and how long the
   * calibration took.
   */
  readonly gigaOperationsPerSecond: number
  readonly calibrationSeconds: number
}

export interface TrainPlan {
  readonly memory: MemoryPlan
  readonly time: TimePlan
  /** Tokens of all steps, padding not counted. */
  readonly tokens: number
  readonly steps: number
  /** The largest batch: packed sequences, their tokens, learned tokens. */
  readonly batch: { readonly rows: number; readonly tokens: number; readonly scored: number }
  readonly trainableParameters: number
  /** The contents of the data, and the format of its rows. */
  readonly data: DataCounts & { readonly format: string }
  readonly validation?: DataCounts
  /** Notes on what the estimate leaves out. */
  readonly notes: readonly string[]
}

// Measured with onnxruntime-node 1.30 on Linux x64: resident memory of a process that has loaded
// everything and no model; memory that a session takes in addition to its buffers, 40 MB for a
// graph of 4,770 nodes; and memory in the arena that is not in use.
const processBytes = 155e6
const bytesOfNode = 8000
const arenaShare = 0.12

/**
 * The first epoch's batch with the most positions, and the positions of all steps as a multiple of
 * its positions.
 */
function findLargestBatch({ plan, data }: PreparedRows): {
  largest: Batch
  share: number
  tokens: number
} {
  let largest: Batch | undefined
  let places = 0
  let tokens = 0
  let counted = 0
  for (let step = 1; step <= plan.steps && plan.epochOf(step) === 1; step++, counted++) {
    for (const rows of plan.batchesOf(step)) {
      const batch = buildBatch(data.rows, rows, { shared: data.shared })
      places += batch.ids.length
      tokens += rows.flat().reduce((sum, row) => sum + data.rows[row]!.ids.length, 0)
      const isLarger = !largest || batch.ids.length > largest.ids.length
      if (
        isLarger ||
        (batch.ids.length === largest!.ids.length && batch.scored.length > largest!.scored.length)
      )
        largest = batch
    }
  }
  const all = plan.steps / counted
  return {
    largest: largest!,
    share: (places * all) / largest!.ids.length,
    tokens: Math.round(tokens * all),
  }
}

/** Positions in the batches of a validation, including padding. */
const countPositions = ({ rows, shared, batches }: HeldRows): number =>
  batches.reduce((sum, batch) => sum + buildBatch(rows, batch, { shared }).ids.length, 0)

const countBytes = (tensors: Iterable<Tensor>): number =>
  [...tensors].reduce((sum, { data }) => sum + data.byteLength, 0)

/**
 * Feeds of a loss in addition to the batch's, whose size is the number of learned tokens: rows of
 * soft labels, pairs.
 */
function bindDims(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  batch: Batch,
): Map<string, number> {
  const dims = collectDims(graph, feeds)
  for (const { shape } of graph.inputs)
    for (const dim of shape)
      if (typeof dim === 'string' && !/[*+]/.test(dim) && !dims.has(dim))
        dims.set(dim, batch.scored.length)
  return dims
}

/** The peak memory of `graph` in addition to everything that a run keeps. */
export function estimateMemory(
  run: PreparedRun,
  graph: Graph,
  dims: Dims,
  vocabularySize: number,
): MemoryPlan {
  const { state, adapter, trainable, weights } = run
  const { validation } = run.rows
  const { bytes, wideBytes } = computeMemoryPeak(graph, dims, vocabularySize)
  const trainableBytes = trainable.reduce(
    (sum, key) => sum + 4 * sizeOf(state.parameters.get(key)!.shape),
    0,
  )
  const { shards } = run.recipe.settings
  // one sum for each level of the tree that adds up the shards
  const levels = shards > 1 ? Math.log2(shards) + 1 : 0
  const parts = {
    baseBytes: countWeightBytes(weights.values()),
    adapterBytes:
      countBytes(adapter.tensors.values()) +
      countBytes(state.parameters.values()) * (validation ? 2 : 1),
    gradientBytes: (2 + levels) * trainableBytes,
    optimizerBytes: countBytes(
      [...state.optimizer.values()].flatMap((slots) => Object.values(slots)),
    ),
    activationBytes: bytes - wideBytes,
    headBytes: wideBytes,
    runtimeBytes: Math.round(bytes * arenaShare + graph.nodes.length * bytesOfNode),
    processBytes,
  }
  return { ...parts, totalBytes: Object.values(parts).reduce((sum, part) => sum + part, 0) }
}

const planTable = {
  calibrationSeconds: number({ default: 1, above: 0, about: 'for which a layer is timed' }),
}

/**
 * Plans a run: what `train` with these options will need at its peak and how long it will take.
 * Data and options are read and checked as training does, and refused with the same errors; the
 * base's weights are read; a layer is run for a second; nothing is trained or written.
 */
export async function planTraining(
  options: TrainOptions,
  planOptions: { readonly calibrationSeconds?: number } = {},
): Promise<TrainPlan> {
  const { calibrationSeconds } = readOptions('Options of planTraining', planOptions, planTable)
  const { checkpoint: _checkpoint, exchange: _exchange, ...rest } = options ?? {}
  const run = await prepareRun(rest)
  try {
    return await estimateRun(run, options, calibrationSeconds)
  } finally {
    await run.objective.dispose()
  }
}

async function estimateRun(
  run: PreparedRun,
  options: TrainOptions,
  calibrationSeconds: number,
): Promise<TrainPlan> {
  const { adapter, trainable, weights, recipe, objective, state, ready } = run
  const { plan, validation } = run.rows
  const { backend, base } = options.model
  const parts = { graph: base.graph, weights, adapter, loss: objective.graph }
  const { attached, training, plain } = buildTrainingBlocks(parts)
  const wanted = trainable.map(toInputName)
  const graph = buildTrainingGraph({
    training,
    wanted,
    segments: countSegments(recipe.settings.checkpointing),
  })
  const { largest, share, tokens } = findLargestBatch(run.rows)
  const feeds = collectTrainingFeeds(attached.config, parts, largest, state.parameters)
  addDropoutFeeds(feeds, base.graph.blocks, adapter.config, largest, 0)
  const dims = bindDims(graph, feeds, largest)
  const { vocabularySize, width } = attached.config
  const now = options.now ?? (() => performance.now())
  const layer = training.find(({ kind }) => kind === 'layer')!
  const calibration = await calibrate(layer, {
    wanted,
    feeds,
    width,
    backend,
    seconds: calibrationSeconds,
    now,
  })
  const operations = countProductOperations(graph, dims)
  const forward = countProductOperations(expandComposites(composeBlocks(plain)), dims)
  const seconds = operations / calibration.rate
  const held = validation
    ? countPositions(validation) * countValidations(plan, validation.everySteps)
    : 0
  const all = seconds * share + (forward / calibration.rate) * (held / largest.ids.length)
  return {
    memory: estimateMemory(run, graph, dims, vocabularySize),
    time: {
      stepSeconds: (seconds * share) / plan.steps,
      seconds: all,
      tokensPerSecond: tokens / (seconds * share),
      stepGigaOperations: (operations * share) / plan.steps / 1e9,
      gigaOperationsPerSecond: calibration.rate / 1e9,
      calibrationSeconds: calibration.seconds,
    },
    tokens,
    steps: plan.steps,
    batch: { rows: largest.rows, tokens: largest.tokens, scored: largest.scored.length },
    trainableParameters: ready.trainableParameters,
    data: { ...ready.data, format: run.rows.encoded.format },
    ...(ready.validation && { validation: ready.validation }),
    notes:
      options.teacher || options.reference
        ? ['The model that the loss compares with is not counted.']
        : [],
  }
}
