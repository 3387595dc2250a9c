// Runs only the first layers of a base and returns the states that enter chosen layers, for callers
// that need a model's features of a text without an answer, at a fraction of the cost. Independent
// of experts, of the cache and of the head.

import { assertInternal, OptionError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { type Accuracy, packLinears } from '../../compute/pack-linears.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import type { Graph } from '../../graph/ir.ts'
import { composeBlocks, type ModelGraph } from '../../graph/model-graph.ts'
import { findFreshPrefix } from '../../graph/passes/rewrite.ts'
import { getLayerInputName, sliceFront } from '../../graph/passes/tail.ts'
import type { BaseWeights } from './base-weights.ts'
import { withEmbeddingRows } from './cached-graph.ts'
import { collectCallFeeds } from './call-feeds.ts'
import { stackModel } from './serving-program.ts'
import {
  chooseSampleIds,
  collectInt8Inputs,
  listLayerWeights,
  readLargest,
  withInt8Products,
  withObservedProducts,
} from './step/int8-products.ts'
import type { PromptProducts } from './step/step-graph.ts'
import { loadWeightInputs } from './weight-inputs.ts'

export interface FrontParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly accuracy: Accuracy
  /** After how many layers the states are taken, rising: [4, 10]. */
  readonly layers: readonly number[]
  /**
   * How linear layers multiply: 'int8' in 8 bits, 2.5 times as fast as 4-bit blocks, for one row a
   * run. Default 'same'.
   */
  readonly products?: PromptProducts | undefined
  /** Whether the result is weighted sums of a row's states instead of all of them. Default false. */
  readonly sums?: boolean | undefined
  /**
   * Token ids of a representative text, to calibrate products in 8 bits. Default: ids spread over
   * the vocabulary.
   */
  readonly sample?: (() => readonly number[]) | undefined
}

export interface FrontProgram {
  /**
   * States of rows of token ids, by layer: [N, T, D] where shorter rows are padded on the right to
   * the longest. Values at padded positions are undefined. With `sums`: weights·states [N, R, D]
   * for the weights of R sums over the tokens, [N, R, T].
   */
  run(
    rows: readonly (readonly number[])[],
    weights?: Tensor<Float32Array>,
  ): Promise<readonly Tensor<Float32Array>[]>
  dispose(): Promise<void>
}

/** Input of the weights of sums, f32 [N, R, T]. */
const SUM_WEIGHTS = 'sum.weights'

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

type Form = PromptProducts | 'observed'

function buildFrontGraph({ model, weights, accuracy, layers, sums }: FrontParts, form: Form) {
  const { model: stacked, stacks } = stackModel(model, weights)
  const slice = sliceFront(stacked, layers.at(-1)!)
  const front = composeBlocks(slice.blocks)
  const values = new Map(front.nodes.map(({ output }) => [output.name, output]))
  const outputs = layers.map((layer, i) => {
    const name = getLayerInputName(stacked, layer)
    const value = i === layers.length - 1 ? front.outputs.get('x') : values.get(name)
    assertInternal(value, `the chained graph has no value "${name}"`)
    return [toOutputName(layer), value] as const
  })
  const states: Graph = { ...front, outputs: new Map(outputs) }
  const plain = withEmbeddingRows(sums ? withSums(states) : states)
  const graph = applyForm(plain, listLayerWeights(slice), form)
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const formOfWeight = (weight: string) =>
    weights.formOf(stackOf.get(weight)?.parts[0]!.weight ?? weight)
  return { graph: packLinears(graph, formOfWeight, accuracy), stacks }
}

/** Weighted sums in place of the states: far fewer numbers leave the program. */
function withSums(graph: Graph): Graph {
  const g = new GraphBuilder(findFreshPrefix(graph, '%sum'))
  const weights = g.input(SUM_WEIGHTS, 'f32', ['N', 'R', 'T'])
  for (const [name, states] of graph.outputs) g.output(name, g.matmul(weights, states))
  const { inputs, nodes, outputs } = g.build()
  return {
    ...graph,
    inputs: [...graph.inputs, ...inputs],
    nodes: [...graph.nodes, ...nodes],
    outputs,
  }
}

function applyForm(graph: Graph, layerWeights: ReadonlySet<string>, form: Form): Graph {
  if (form === 'same') return graph
  return form === 'int8'
    ? withInt8Products(graph, layerWeights)
    : withObservedProducts(graph, layerWeights)
}

/** Weights below which one thread reads a prompt of 40 tokens within 20 ms. */
const fewWeights = 1e8

const isSmall = ({ inputs }: Graph): boolean =>
  inputs.reduce(
    (sum, { dtype, shape }) => sum + (dtype === 'i8' ? Number(shape[0]) * Number(shape[1]) : 0),
    0,
  ) < fewWeights

/** A compiled graph over rows of token ids. */
async function compileForm(
  parts: FrontParts,
  form: Form,
  largest: ReadonlyMap<string, Float32Array> = new Map(),
) {
  const built = buildFrontGraph(parts, form)
  const made = await collectInt8Inputs(built, largest, parts.weights)
  const { initializers, fed } = await loadWeightInputs(built.graph, parts, built.stacks, made)
  const oneThread = form === 'int8' && isSmall(built.graph)
  const program: Program = await parts.backend.compile(built.graph, { initializers, oneThread })
  const source = { config: parts.model.config, weights: parts.weights }
  return {
    async run(
      pieces: readonly (readonly number[])[],
      weights: Tensor<Float32Array> | undefined,
    ): Promise<Map<string, Tensor>> {
      const lengths = pieces.map(() => 0)
      const feeds = await collectCallFeeds(source, { pieces, lengths, capacity: 0 })
      if (weights) feeds.set(SUM_WEIGHTS, weights)
      return program.run(new Map<string, Tensor>([...fed, ...feeds]))
    },
    dispose: () => program.dispose(),
  }
}

/** The largest inputs of the products on the sample, by weight. */
async function measureInputs(parts: FrontParts): Promise<Map<string, Float32Array>> {
  const observing = await compileForm({ ...parts, sums: false }, 'observed')
  try {
    const ids = chooseSampleIds(parts.sample, parts.model.config.vocabularySize)
    return readLargest(await observing.run([ids], undefined))
  } finally {
    await observing.dispose()
  }
}

/** Compiles the program. Throws OptionError for layers that the model does not have. */
export async function createFrontProgram(parts: FrontParts): Promise<FrontProgram> {
  checkLayers(parts.layers, parts.model)
  const { products = 'same' } = parts
  const largest = products === 'int8' ? await measureInputs(parts) : undefined
  const program = await compileForm(parts, products, largest)
  return {
    async run(rows, weights) {
      assertInternal(products === 'same' || rows.length === 1, 'products in 8 bits take one row')
      const outputs = await program.run(rows, weights)
      return parts.layers.map((layer) => outputs.get(toOutputName(layer)) as Tensor<Float32Array>)
    },
    dispose: () => program.dispose(),
  }
}
