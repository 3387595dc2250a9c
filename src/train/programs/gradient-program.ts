// Loss and gradients of an adapter on a frozen model, as compiled programs.
// Independent of optimisers, data and schedules.

import { attach } from '../../adapters/attach.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { toInputName, toPeftKey } from '../../adapters/keys.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { collectModelFeeds } from '../../graph/feeds.ts'
import { freezeBlocks, collectFrozenFeeds } from '../../graph/passes/freeze-blocks.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Block, ModelGraph } from '../../graph/model-graph.ts'
import { collectActivationFeeds } from '../batches/activation.ts'
import type { Batch } from '../batches/batch.ts'
import { addDropoutFeeds, withSeparateMasks } from './dropout.ts'
import { crossEntropy } from '../losses/cross-entropy.ts'
import type { HeadGraph, NamedTensors } from '../losses/loss.ts'
import { withEnding } from '../losses/with-loss.ts'
import { createSegmentedProgram } from './gradient-checkpointing.ts'

export interface GradientProgram {
  /**
   * The loss over the batch (of cross-entropy: Σ_m weights[m]·loss[m]), its gradient with respect
   * to every trainable parameter, and the loss's other outputs. Parameters and gradients go by
   * PEFT key, f32. The parameters' arrays may change between calls.
   */
  gradients(
    batch: Batch,
    parameters: ReadonlyMap<string, Tensor>,
    options?: { dropoutSeed?: number },
  ): Promise<{ loss: number; gradients: Map<string, Tensor>; outputs?: NamedTensors }>
  /** The same loss without gradients, dropout off. */
  loss(batch: Batch, parameters: ReadonlyMap<string, Tensor>): Promise<number>
  /** The same loss with its other outputs. */
  measure(
    batch: Batch,
    parameters: ReadonlyMap<string, Tensor>,
  ): Promise<{ loss: number; outputs: NamedTensors }>
  dispose(): Promise<void>
}

export interface GradientProgramOptions {
  readonly graph: ModelGraph
  /** Base weights by checkpoint name, in f32 or quantised; fed at every call, never copied. */
  readonly weights: ReadonlyMap<string, BaseWeight>
  readonly backend: Backend
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
  /** PEFT keys whose gradients are computed. */
  readonly trainable: readonly string[]
  /**
   * How many segments the model is cut into. The backward pass recomputes all but the last, and
   * only values between segments are kept. true: 4, which needs less than half of the activations'
   * memory and a fifth more time. false: 1. Loss and gradients have the same bits in both cases.
   */
  readonly checkpointing?: boolean | number
  /** The end of the head's graph: `loss` and further outputs. Default: Cross-entropy. */
  readonly loss?: HeadGraph
}

export const countSegments = (checkpointing: boolean | number): number =>
  typeof checkpointing === 'number' ? checkpointing : checkpointing ? 4 : 1

const splitRows = (values: Int32Array, rows: number, tokens: number): number[][] =>
  Array.from({ length: rows }, (_, n) => Array.from(values.subarray(n * tokens, (n + 1) * tokens)))

/** The feeds of a batch for the model and its loss. */
export function collectBatchFeeds(config: ModelConfig, batch: Batch): Map<string, Tensor> {
  const { rows, tokens } = batch
  const feeds = collectModelFeeds(config, {
    ids: splitRows(batch.ids, rows, tokens),
    positions: splitRows(batch.positions, rows, tokens),
    segments: splitRows(batch.segments, rows, tokens),
  })
  feeds.set('rows', i64([batch.scored.length], batch.scored))
  feeds.set('labels', i64([batch.labels.length], batch.labels))
  feeds.set('weights', f32([batch.weights.length], batch.weights))
  for (const [name, tensor] of batch.feeds ?? []) feeds.set(name, tensor)
  return feeds
}

/**
 * The model with the adapter attached and the loss at the end; quantised weights are split into
 * their parts.
 */
export function buildTrainingBlocks({
  graph,
  weights,
  adapter,
  loss,
}: Pick<GradientProgramOptions, 'graph' | 'weights' | 'adapter' | 'loss'>) {
  const ending: HeadGraph =
    loss ?? ((g, logits, states) => crossEntropy.graph(g, logits, {}, states))
  const frozen = freezeBlocks(weights)
  const scored = ({ blocks }: ModelGraph): readonly Block[] =>
    frozen(blocks).map((block) =>
      block.kind === 'head' ? { ...block, graph: withEnding(block.graph, ending) } : block,
    )
  const attached = attach(graph, adapter)
  const plain = scored(attached)
  const training =
    adapter.config.dropout === 0
      ? plain
      : withSeparateMasks(scored(attach(graph, adapter, { training: true })))
  return { attached, plain, training }
}

/** All feeds of a program: the batch, the base's weights, the adapter. */
export function collectTrainingFeeds(
  config: ModelConfig,
  { weights, adapter }: Pick<GradientProgramOptions, 'weights' | 'adapter'>,
  batch: Batch,
  parameters: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  const feeds = collectBatchFeeds(config, batch)
  for (const [name, tensor] of collectActivationFeeds(batch, adapter.config.invocationTokens))
    feeds.set(name, tensor)
  for (const [name, weight] of weights)
    for (const [input, tensor] of collectFrozenFeeds(name, weight)) feeds.set(input, tensor)
  for (const [key, tensor] of parameters) feeds.set(toInputName(key), tensor)
  return feeds
}

/**
 * Compiles the programs that train an adapter. Throws OptionError when a trainable key is no input
 * of the attached graph.
 */
export async function createGradientProgram(
  options: GradientProgramOptions,
): Promise<GradientProgram> {
  const { graph, backend, adapter, trainable, checkpointing = false } = options
  const { attached, plain, training } = buildTrainingBlocks(options)
  const segments = countSegments(checkpointing)
  const program = createSegmentedProgram({
    training,
    plain,
    wanted: trainable.map(toInputName),
    backend,
    segments,
  })

  const feedsOf = (batch: Batch, parameters: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
    collectTrainingFeeds(attached.config, options, batch, parameters)
  return {
    async gradients(batch, parameters, { dropoutSeed = 0 } = {}) {
      const feeds = feedsOf(batch, parameters)
      addDropoutFeeds(feeds, graph.blocks, adapter.config, batch, dropoutSeed)
      const { gradients, ...result } = await program.gradients(feeds)
      return {
        ...result,
        gradients: new Map([...gradients].map(([name, tensor]) => [toPeftKey(name), tensor])),
      }
    },
    loss: async (batch, parameters) => (await program.measure(feedsOf(batch, parameters))).loss,
    measure: (batch, parameters) => program.measure(feedsOf(batch, parameters)),
    dispose: () => program.dispose(),
  }
}
