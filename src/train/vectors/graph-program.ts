// Loss and gradients of any adapter kind on a standalone model, derived by the graph engine. Slower
// than LoRA's own products, and their oracle.

import type { Adapter } from '../../adapters/adapter.ts'
import { attach } from '../../adapters/attach.ts'
import { toInputName, toPeftKey } from '../../adapters/keys.ts'
import type { StandaloneModel } from '../../adapters/vectors/model.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import type { Graph } from '../../graph/ir.ts'
import { composeBlocks, type ModelGraph, collectWeightShapes } from '../../graph/model-graph.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'
import { withSeparateMasks } from '../programs/dropout.ts'
import { drawDropoutMasks } from './masks.ts'
import type { StandaloneProgram } from './program.ts'
import type { VectorBatch } from './vector-batch.ts'

export interface GraphProgramOptions {
  readonly model: StandaloneModel
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
  readonly backend: Backend
  /** PEFT keys whose gradients are computed. */
  readonly trainable: readonly string[]
}

/** The attached model with the weighted squared error as its one output. */
function withSquaredError(model: ModelGraph, width: number): Graph {
  const graph = composeBlocks(model.blocks)
  const scored = rewrite(
    graph,
    '%loss',
    () => undefined,
    (g, valueOf) => {
      const error = g.subtract(
        valueOf(graph.outputs.get('x')!),
        g.input('targets', 'f32', ['N', 'T', width]),
      )
      const counted = g.multiply(g.multiply(error, error), g.input('weights', 'f32', ['N', 'T', 1]))
      g.output('loss', g.scale(g.reduceSum(counted, [0, 1, 2]), 1 / width))
    },
  )
  return prune({ ...scored, outputs: new Map([['loss', scored.outputs.get('loss')!]]) })
}

/** Compiles the loss and its gradients. The base's weights are fed, never changed. */
export async function createGraphProgram({
  model,
  adapter,
  backend,
  trainable,
}: GraphProgramOptions): Promise<StandaloneProgram> {
  const { graph, width, weightOf } = model
  const attached = attach(graph, adapter)
  const trained = attach(graph, adapter, { training: true })
  const lossGraph = withSquaredError(attached, width)
  const trainedGraph = withSquaredError(
    { ...trained, blocks: withSeparateMasks(trained.blocks) },
    width,
  )
  const withRespectTo = trainable.map(toInputName)
  const [plain, gradient] = await Promise.all([
    backend.compile(lossGraph),
    backend.compile(withGradients(trainedGraph, { of: ['loss'], withRespectTo, keep: ['loss'] })),
  ])
  const weights = [...collectWeightShapes(attached.blocks).keys()].map(
    (name) => [name, weightOf(name)] as const,
  )
  const feedsOf = (
    { rows, inputs, targets, weights: counts }: VectorBatch,
    parameters: ReadonlyMap<string, Tensor>,
  ) =>
    new Map<string, Tensor>([
      ...weights,
      ...[...parameters].map(([key, tensor]) => [toInputName(key), tensor] as const),
      ['x', f32([rows, 1, width], inputs)],
      ['targets', f32([rows, 1, width], targets)],
      ['weights', f32([rows, 1, 1], counts)],
    ])
  return {
    async gradients(batch, parameters, { dropoutSeed = 0 } = {}) {
      const feeds = feedsOf(batch, parameters)
      for (const [name, mask] of drawDropoutMasks(graph.blocks, adapter.config, batch, dropoutSeed))
        feeds.set(name, mask)
      const outputs = await gradient.run(feeds)
      const gradients = withRespectTo.map(
        (name) => [toPeftKey(name), outputs.get(toGradientName(name)) as F32Tensor] as const,
      )
      return { loss: Number(outputs.get('loss')!.data[0]), gradients: new Map(gradients) }
    },
    loss: async (batch, parameters) =>
      Number((await plain.run(feedsOf(batch, parameters))).get('loss')!.data[0]),
    dispose: async () => void (await Promise.all([plain.dispose(), gradient.dispose()])),
  }
}
