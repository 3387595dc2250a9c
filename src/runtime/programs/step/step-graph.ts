// The graphs of the two step programs: decode computes one token of each of many rows, prefill
// computes a piece of one prompt. Independent of weights' values and of the requests.

import { attachDetours } from '../../../adapters/serving/detours.ts'
import { withOwnRanks } from '../../../adapters/serving/slots.ts'
import { type Accuracy, packLinears } from '../../../compute/pack-linears.ts'
import type { Graph } from '../../../graph/ir.ts'
import type { ModelConfig } from '../../../graph/model-config.ts'
import { composeBlocks, type ModelGraph } from '../../../graph/model-graph.ts'
import { bindDims } from '../../../graph/passes/bind-dims.ts'
import { cutJoins } from '../../../graph/passes/cut-joins.ts'
import { joinRotary } from '../../../graph/passes/join-rotary.ts'
import { prune } from '../../../graph/passes/rewrite.ts'
import { getLayerInputName } from '../../../graph/passes/tail.ts'
import type { BaseWeights } from '../base-weights.ts'
import {
  type KvElement,
  SPLIT,
  withCache,
  withEmbeddingRows,
  withLogitRows,
  withPast,
  withStates,
} from '../cached-graph.ts'
import { stackModel } from '../serving-program.ts'
import { listLayerWeights, withInt8Products, withObservedProducts } from './int8-products.ts'
import type { LinearStack } from '../stack-linears.ts'

/** How a step's rows get their experts' low-rank parts: none, one expert for all, rank sets. */
export type DetourForm = 'none' | 'shared' | 'grouped'

/** How linear layers multiply in the prefill program. */
export type PromptProducts = 'same' | 'int8'

export interface StepNeeds {
  readonly accuracy: Accuracy
  /**
   * How linear layers multiply in fast prefill: 'int8' in 8 bits. Default 'same': as in decoding.
   */
  readonly products?: PromptProducts
  /** Default 'none'. */
  readonly form?: DetourForm
  /** How many rank sets the grouped form has: 1 or 2. Default 1. */
  readonly sets?: number
  /** Vectors v, shift and u, picked by `vector.index`. */
  readonly vectors?: boolean
  /** The shared form only: the feed `active` [N, T, 1], a factor of A·x. */
  readonly gain?: boolean
  /** A layer whose incoming states are an output too. */
  readonly states?: number | undefined
  /** Element type of past.<layer>.k and .v. Default 'f32'. */
  readonly past?: KvElement
}

export interface StepGraph {
  readonly graph: Graph
  readonly stacks: readonly LinearStack[]
}

/** Input with the shape of a cache's blocks, i64 [6] = [0, K, B, 1, W, d]. */
export const PAST_BLOCKS = 'blocks.past'
/** Input with the shape of the shares of a cache's blocks, i64 [6] = [0, K, H/K, 1, B, W]. */
export const SHARE_BLOCKS = 'blocks.shares'
/** Input with the position of each row's last new token, i32 [N]. */
export const SPAN_LAST = 'span.last'
/** Input with the largest of them + 1, i32. */
export const SPAN_TOTAL = 'span.total'

/** Whether ONNX Runtime's own kernel for a piece of a prompt serves the model. */
export const hasPieceAttention = ({ attentionSoftcap, headWidth }: ModelConfig): boolean =>
  attentionSoftcap === 0 && headWidth % 8 === 0

/** One token of each row, T = 1, over its cache in blocks. */
export function buildDecodeGraph(
  model: ModelGraph,
  weights: BaseWeights,
  needs: StepNeeds,
): StepGraph {
  return buildStepGraph(model, weights, needs, {
    chunked: false,
    attend: (graph, past) =>
      withBlockAttention(joinRotary(bindDims(graph, new Map([['T', 1]]))), past),
  })
}

/** A piece of a prompt over its row's entries. */
export function buildPrefillGraph(
  model: ModelGraph,
  weights: BaseWeights,
  needs: StepNeeds,
): StepGraph {
  const { config } = model
  return buildStepGraph(model, weights, needs, {
    chunked: true,
    attend: (graph, past) =>
      hasPieceAttention(config)
        ? withPieceAttention(joinRotary(graph), past, config)
        : withCache(joinRotary(graph), past),
  })
}

/** The same with the inputs of the layers' products as additional outputs (readLargest). */
export function buildObservingGraph(model: ModelGraph, weights: BaseWeights): StepGraph {
  const { model: stacked } = stackModel(model, weights)
  const observed = listLayerWeights(stacked)
  return buildStepGraph(
    model,
    weights,
    { accuracy: 'fast' },
    {
      chunked: true,
      attend: (graph, past) => withObservedProducts(withCache(joinRotary(graph), past), observed),
    },
  )
}

interface StepForm {
  /** See DetourOptions. */
  readonly chunked: boolean
  attend(graph: Graph, past: KvElement): Graph
}

function buildStepGraph(
  model: ModelGraph,
  weights: BaseWeights,
  {
    accuracy,
    products = 'same',
    form = 'none',
    sets = 1,
    vectors = false,
    gain = false,
    states,
    past = 'f32',
  }: StepNeeds,
  { chunked, attend }: StepForm,
): StepGraph {
  const { model: stacked, stacks } = stackModel(model, weights)
  const partsOf = new Map(
    stacks.map(({ module, parts }) => [module, parts.map(({ outFeatures }) => outFeatures)]),
  )
  const detoured =
    form === 'none' && !vectors
      ? stacked
      : attachDetours(stacked, {
          matrices: form !== 'none',
          sets: form === 'grouped' ? sets : 0,
          vectors,
          u: ({ path }) => !partsOf.has(path),
          parts: ({ path }) => partsOf.get(path),
          activation: gain && form === 'shared',
          chunked,
        })
  const whole = cutJoins(composeBlocks(detoured.blocks))
  const observed =
    states === undefined ? whole : withStates(whole, getLayerInputName(detoured, states))
  const chained = withLogitRows(withEmbeddingRows(attend(withOwnRanks(observed), past)))
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const formOfWeight = (weight: string) =>
    weights.formOf(stackOf.get(weight)?.parts[0]!.weight ?? weight)
  const multiplied =
    products === 'int8' ? withInt8Products(chained, listLayerWeights(stacked)) : chained
  return { graph: packLinears(multiplied, formOfWeight, accuracy), stacks }
}

const withBlockAttention = (graph: Graph, past: KvElement): Graph =>
  withPast(graph, past, (g, { inputs, attributes }, { keys, values, pastKeys, pastValues }) => {
    const [q, , , mask] = inputs
    const shapes = [
      g.input(SPLIT, 'i64', [2]),
      g.input(PAST_BLOCKS, 'i64', [6]),
      g.input(SHARE_BLOCKS, 'i64', [6]),
    ]
    return g.op(
      'blockAttention',
      [q!, keys, values, pastKeys, pastValues, mask!, ...shapes],
      attributes,
    )
  })

/** The kernel applies the masks: causal ones, and windows in layers that have one. */
function withPieceAttention(graph: Graph, past: KvElement, { layers }: ModelConfig): Graph {
  const window = layers.find(({ slidingWindow }) => slidingWindow !== undefined)?.slidingWindow
  return prune(
    withPast(graph, past, (g, { inputs, attributes }, { pastKeys, pastValues }) => {
      const [q, k, v, mask] = inputs
      const span = [g.input(SPAN_LAST, 'i32', ['N']), g.input(SPAN_TOTAL, 'i32', [])]
      return g.op('pieceAttention', [q!, k!, v!, pastKeys, pastValues, ...span], {
        ...attributes,
        window: mask!.name === 'mask' ? 0 : window!,
      })
    }),
  )
}
