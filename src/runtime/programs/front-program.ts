// Runs only the first layers of a base and returns the states that enter chosen layers, for callers
// that need a model's features of a text without an answer, at a fraction of the cost. Independent
// of experts, of the cache and of the head.

import { assertInternal, OptionError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { type Accuracy, packLinears } from '../../compute/pack-linears.ts'
import type { Graph } from '../../graph/ir.ts'
import { composeBlocks, type ModelGraph } from '../../graph/model-graph.ts'
import { getLayerInputName, sliceFront } from '../../graph/passes/tail.ts'
import type { BaseWeights } from './base-weights.ts'
import { withEmbeddingRows } from './cached-graph.ts'
import { collectCallFeeds } from './call-feeds.ts'
import { stackModel } from './serving-program.ts'
import { loadWeightInputs } from './weight-inputs.ts'

export interface FrontParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly accuracy: Accuracy
  /** After how many layers the states are taken, rising: [4, 10]. */
  readonly layers: readonly number[]
}

export interface FrontProgram {
  /**
   * States of rows of token ids, by layer: [N, T, D] where shorter rows are padded on the right to
   * the longest. Values at padded positions are undefined.
   */
  run(rows: readonly (readonly number[])[]): Promise<readonly Tensor<Float32Array>[]>
  dispose(): Promise<void>
}

const toOutputName = (layer: number): string => `states.${layer}`

/** Throws OptionError for layers that the model does not have, none, or out of order. */
function checkLayers(layers: readonly number[], { config }: ModelGraph): void {
  const most = config.layers.length - 1
  const isRight = layers.every(
    (layer, i) =>
      Number.isInteger(layer) && layer >= 1 && layer <= most && !(layer <= (layers[i - 1] ?? 0)),
  )
  if (layers.length === 0 || !isRight)
    throw new OptionError(
      `layers: got ${JSON.stringify(layers)}, expected rising integers from 1 to ${most}: after how many of the model's ${most + 1} layers its states are taken.`,
    )
}

function buildFrontGraph({ model, weights, accuracy, layers }: FrontParts) {
  const { model: stacked, stacks } = stackModel(model, weights)
  const front = composeBlocks(sliceFront(stacked, layers.at(-1)!).blocks)
  const values = new Map(front.nodes.map(({ output }) => [output.name, output]))
  const outputs = layers.map((layer, i) => {
    const name = getLayerInputName(stacked, layer)
    const value = i === layers.length - 1 ? front.outputs.get('x') : values.get(name)
    assertInternal(value, `the chained graph has no value "${name}"`)
    return [toOutputName(layer), value] as const
  })
  const graph: Graph = withEmbeddingRows({ ...front, outputs: new Map(outputs) })
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const formOfWeight = (weight: string) =>
    weights.formOf(stackOf.get(weight)?.parts[0]!.weight ?? weight)
  return { graph: packLinears(graph, formOfWeight, accuracy), stacks }
}

/** Compiles the program. Throws OptionError for layers that the model does not have. */
export async function createFrontProgram(parts: FrontParts): Promise<FrontProgram> {
  checkLayers(parts.layers, parts.model)
  const { graph, stacks } = buildFrontGraph(parts)
  const { initializers, fed } = await loadWeightInputs(graph, parts, stacks)
  const program: Program = await parts.backend.compile(graph, { initializers })
  const { config } = parts.model
  return {
    async run(rows) {
      const feeds = await collectCallFeeds(
        { config, weights: parts.weights },
        { pieces: rows, lengths: rows.map(() => 0), capacity: 0 },
      )
      const outputs = await program.run(new Map<string, Tensor>([...fed, ...feeds]))
      return parts.layers.map((layer) => outputs.get(toOutputName(layer)) as Tensor<Float32Array>)
    },
    dispose: () => program.dispose(),
  }
}
