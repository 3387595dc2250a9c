// Loss and gradients of an adapter on a frozen model, as compiled programs.
// Knows no optimiser, no data, no schedule.

import { attach } from '../adapters/attach.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { inputName, peftKey } from '../adapters/keys.ts'
import { f32, i64, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { modelFeeds } from '../graph/feeds.ts'
import type { Graph } from '../graph/ir.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'
import { prune, rewrite } from '../graph/rewrite.ts'
import { activationFeeds } from './activation.ts'
import type { Batch } from './batch.ts'
import { dropoutFeeds, withOwnMasks } from './dropout.ts'
import { inSegments } from './segments.ts'

export interface GradientProgram {
  /**
   * Σ_m weights[m]·loss[m] over the batch's scored positions, and its gradient with respect to every trainable parameter.
   * Parameters and gradients go by PEFT key, f32. The parameters' arrays may change between calls.
   */
  gradients(
    batch: Batch,
    parameters: ReadonlyMap<string, Tensor>,
    options?: { dropoutSeed?: number },
  ): Promise<{ loss: number; gradients: Map<string, Tensor> }>
  /** The same sum without gradients, dropout off. */
  loss(batch: Batch, parameters: ReadonlyMap<string, Tensor>): Promise<number>
  dispose(): Promise<void>
}

export interface GradientProgramOptions {
  readonly graph: ModelGraph
  /** Base weights by checkpoint name; fed at every call, never copied. */
  readonly weights: ReadonlyMap<string, F32Tensor>
  readonly backend: Backend
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
  /** PEFT keys whose gradients are wanted. */
  readonly trainable: readonly string[]
  /**
   * Into how many segments the model is cut: backward computes all but the last again, activations take 1/segments of the memory.
   * true: 2, a quarter more time. false: 1. The loss and gradients are the same bits either way.
   */
  readonly checkpointing?: boolean | number
}

/** The head's graph with the summed, weighted cross-entropy as its one output. */
export function withLoss(head: Graph): Graph {
  const scored = rewrite(
    head,
    '%loss',
    () => undefined,
    (g, valueOf) => {
      const losses = g.op('crossEntropy', [valueOf(head.outputs.get('logits')!), g.input('labels', 'i64', ['M'])])
      g.output('loss', g.reduceSum(g.multiply(losses, g.input('weights', 'f32', ['M'])), [0]))
    },
  )
  return prune({ ...scored, outputs: new Map([['loss', scored.outputs.get('loss')!]]) })
}

const rowsOf = (values: Int32Array, rows: number, tokens: number): number[][] =>
  Array.from({ length: rows }, (_, n) => Array.from(values.subarray(n * tokens, (n + 1) * tokens)))

function batchFeeds(config: ModelConfig, batch: Batch): Map<string, Tensor> {
  const { rows, tokens } = batch
  const feeds = modelFeeds(config, {
    ids: rowsOf(batch.ids, rows, tokens),
    positions: rowsOf(batch.positions, rows, tokens),
    segments: rowsOf(batch.segments, rows, tokens),
  })
  feeds.set('rows', i64([batch.scored.length], batch.scored))
  feeds.set('labels', i64([batch.labels.length], batch.labels))
  feeds.set('weights', f32([batch.weights.length], batch.weights))
  return feeds
}

/** Compiles the programs that train an adapter. Throws OptionError when a trainable key is no input of the attached graph. */
export async function createGradientProgram(options: GradientProgramOptions): Promise<GradientProgram> {
  const { graph, weights, backend, adapter, trainable, checkpointing = false } = options
  const scored = ({ blocks }: ModelGraph): readonly Block[] =>
    blocks.map((block) => (block.kind === 'head' ? { ...block, graph: withLoss(block.graph) } : block))
  const attached = attach(graph, adapter)
  const plain = scored(attached)
  const training = adapter.config.dropout === 0 ? plain : withOwnMasks(scored(attach(graph, adapter, { training: true })))
  const segments = typeof checkpointing === 'number' ? checkpointing : checkpointing ? 2 : 1
  const program = inSegments({ training, plain, wanted: trainable.map(inputName), backend, segments })

  const feedsOf = (batch: Batch, parameters: ReadonlyMap<string, Tensor>): Map<string, Tensor> => {
    const feeds = batchFeeds(attached.config, batch)
    for (const [name, tensor] of activationFeeds(batch, adapter.config.invocationTokens)) feeds.set(name, tensor)
    for (const [name, tensor] of weights) feeds.set(name, tensor)
    for (const [key, tensor] of parameters) feeds.set(inputName(key), tensor)
    return feeds
  }
  return {
    async gradients(batch, parameters, { dropoutSeed = 0 } = {}) {
      const feeds = feedsOf(batch, parameters)
      dropoutFeeds(feeds, graph.blocks, adapter.config, batch, dropoutSeed)
      const { loss, gradients } = await program.gradients(feeds)
      return { loss, gradients: new Map([...gradients].map(([name, tensor]) => [peftKey(name), tensor])) }
    },
    loss: (batch, parameters) => program.loss(feedsOf(batch, parameters)),
    dispose: () => program.dispose(),
  }
}
